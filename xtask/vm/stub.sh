#!/usr/bin/env bash
# Builds the stub driver for a kernel that kernel.sh got:
#   stub.sh FOLDER PREFIX [BTF]
# PREFIX begins the names of the compiler and binutils (x86_64-linux-gnu-).
# FOLDER/stub/plain gets modules without type information, as DKMS builds them where the kernel's headers come without
# vmlinux (Debian before 13); FOLDER/stub/btf, where the kernel's own type information is given, the same with theirs, as
# newer DKMS builds and a distribution's own modules have it.
set -euo pipefail
cd "$(dirname "$0")"
folder=$1 prefix=$2 btf=${3:-}
compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\).*/\1/p' "$folder/config")
compiler=$prefix${compiler#"$prefix"}
# Another version of the compiler does, too: the kernel only says that it is another.
command -v "$compiler" >/dev/null || compiler=${prefix}gcc

mkdir -p "$folder/stub/source/stub" "$folder/stub/plain"
cp -u abi.h "$folder/stub/source/"
cp -u stub/* "$folder/stub/source/stub/"
log=$folder/stub/log
if ! make -s -C "$folder/headers" M="$folder/stub/source/stub" CC="$compiler" CROSS_COMPILE="$prefix" modules >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
cp "$folder/stub/source/stub/"*.ko "$folder/stub/plain/"
for module in "$folder/stub/plain/"*.ko; do
  "${prefix}objcopy" --strip-debug --remove-section .BTF --remove-section .BTF.base "$module"
done
if [ -n "$btf" ]; then
  mkdir -p "$folder/stub/btf"
  for module in "$folder/stub/source/stub/"*.ko; do
    copy=$folder/stub/btf/${module##*/}
    "${prefix}objcopy" --remove-section .BTF --remove-section .BTF.base "$module" "$copy"
    LLVM_OBJCOPY="${prefix}objcopy" pahole -J --btf_base "$btf" "$copy"
    "${prefix}strip" --strip-debug "$copy"
  done
fi
