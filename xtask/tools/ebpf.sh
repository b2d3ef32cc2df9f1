#!/usr/bin/env bash
# Puts on this machine what the eBPF programs are built with, where rustup's component server is out of reach: the
# standard library's sources (rust-src.sh), bpf-linker from crates.io against the compiler's own LLVM.
# usage: ebpf.sh PREFIX TOOLCHAIN   (PREFIX/bin/bpf-linker; the sources go into the toolchain's sysroot)
set -euo pipefail
prefix=$1 toolchain=$2 version=0.13.0
unset RUSTUP_TOOLCHAIN RUSTC CARGO
bash "$(dirname "$0")/rust-src.sh" "$toolchain"

if [ ! -x "$prefix/bin/bpf-linker" ]; then
    echo "building bpf-linker, which takes minutes" >&2
    sysroot=$(rustc "+$toolchain" --print sysroot)
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    llvm=$(echo "$sysroot"/lib/libLLVM.so.*)
    major=$(rustc "+$toolchain" -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    mkdir -p "$work/llvm/lib"
    ln -s "$llvm" "$work/llvm/lib/libLLVM.so"
    ln -s "$llvm" "$work/llvm/lib/libLLVM-$major.so"
    LLVM_PREFIX="$work/llvm" RUSTFLAGS="-C link-arg=-Wl,-rpath,$sysroot/lib" \
        cargo "+$toolchain" install bpf-linker --locked --version "$version" --no-default-features \
        --features "llvm-$major" --root "$prefix"
fi
"$prefix/bin/bpf-linker" --version
