#!/usr/bin/env bash
# Builds Prometheus and promtool from their Go module. (Debian's packages, those of Prometheus 3 too, leave out the
# OTLP receiver.) Service discoveries are left out, as Prometheus' own plugins.yml foresees: they are most of the build.
# usage: prometheus.sh PREFIX VERSION  (PREFIX/prometheus-VERSION, PREFIX/promtool-VERSION; VERSION as v0.305.1 for 3.5.1)
set -euo pipefail
prefix=$1 version=$2
[ -x "$prefix/prometheus-$version" ] && [ -x "$prefix/promtool-$version" ] && exit
echo "building Prometheus $version, which takes minutes" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/go.sh" "$work"
module=$(cd "$work" && go mod download -json "github.com/prometheus/prometheus@$version" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
cp -r "$module" "$work/source"
chmod -R u+w "$work/source"
cd "$work/source"
echo 'package plugins' > plugins/plugins.go
go build -ldflags "-s -w -X github.com/prometheus/common/version.Version=$(cat VERSION)" -o "$work/" \
    ./cmd/prometheus ./cmd/promtool
mkdir -p "$prefix"
for program in prometheus promtool; do
    install -m 0755 "$work/$program" "$prefix/$program-$version.part"
    mv "$prefix/$program-$version.part" "$prefix/$program-$version"
done
