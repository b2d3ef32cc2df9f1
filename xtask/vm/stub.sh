#!/usr/bin/env bash
# Builds the stub driver for a kernel that kernel.sh got:
#   stub.sh FOLDER [BTF]
# FOLDER/stub/plain gets the modules as an administrator's machine builds them; FOLDER/stub/btf, where the kernel's own
# type information is given, the same with theirs, as the modules of a distribution have it.
set -euo pipefail
cd "$(dirname "$0")"
folder=$1 btf=${2:-}
compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\).*/\1/p' "$folder/config")
command -v "$compiler" >/dev/null || compiler=${compiler%-*}

mkdir -p "$folder/stub/source/stub" "$folder/stub/plain"
cp -u abi.h "$folder/stub/source/"
cp -u stub/* "$folder/stub/source/stub/"
log=$folder/stub/log
if ! make -s -C "$folder/headers" M="$folder/stub/source/stub" CC="$compiler" modules >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
cp "$folder/stub/source/stub/"*.ko "$folder/stub/plain/"
strip --strip-debug "$folder/stub/plain/"*.ko
if [ -n "$btf" ]; then
  mkdir -p "$folder/stub/btf"
  for module in "$folder/stub/source/stub/"*.ko; do
    copy=$folder/stub/btf/${module##*/}
    cp "$module" "$copy"
    pahole -J --btf_base "$btf" "$copy"
    strip --strip-debug "$copy"
  done
fi
