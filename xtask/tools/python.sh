#!/usr/bin/env bash
# A private Python environment with the independent protobuf, OTLP and Prometheus libraries of the tests.
# usage: python.sh PREFIX REQUIREMENTS SCHEMA   (PREFIX/bin/python; SCHEMA compiled to PREFIX/schema/*_pb2.py)
set -euo pipefail
prefix=$1 requirements=$2 schema=$3
stamp=$(cat "$0" "$requirements" "$schema" | sha256sum)
[ -x "$prefix/bin/python" ] && [ "$(cat "$prefix/stamp" 2> /dev/null)" = "$stamp" ] && exit
echo "preparing a Python environment in $prefix" >&2
rm -rf "$prefix"
python3 -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
mkdir "$prefix/schema"
"$prefix/bin/python" -m grpc_tools.protoc --proto_path="$(dirname "$schema")" --python_out="$prefix/schema" "$schema"
printf '%s' "$stamp" > "$prefix/stamp"
