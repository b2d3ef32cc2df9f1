#!/usr/bin/env bash
# Puts on this machine what the eBPF programs are built with, where rustup's component server is out of reach: the
# standard library's sources from Debian's unstable, bpf-linker from crates.io against the compiler's own LLVM.
# usage: ebpf.sh PREFIX TOOLCHAIN   (PREFIX/bin/bpf-linker; the sources go into the toolchain's sysroot)
set -euo pipefail
prefix=$1 toolchain=$2 version=0.13.0
unset RUSTUP_TOOLCHAIN RUSTC CARGO
sysroot=$(rustc "+$toolchain" --print sysroot)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ]; then
    echo "fetching the standard library's sources" >&2
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2> /dev/null |
        sed -n 's/^URIs: *//p; s/^deb \([^[ ]*\) .*/\1/p' | grep -m 1 '/debian/*$' || echo http://deb.debian.org/debian)
    mkdir -p "$work/lists/partial"
    cat > "$work/unstable.sources" << END
Types: deb
URIs: $mirror
Suites: sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
    # An index of its own: the machine's is left as it is.
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$work/unstable.sources" -o Dir::Etc::sourceparts=/dev/null \
            -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
    }
    apt update
    (cd "$work" && apt download rust-src && dpkg -x rust-src_*.deb source)
    mkdir -p "$sysroot/lib/rustlib/src/rust"
    cp -r "$work"/source/usr/src/rustc-*/library "$sysroot/lib/rustlib/src/rust/"
fi

if [ ! -x "$prefix/bin/bpf-linker" ]; then
    echo "building bpf-linker, which takes minutes" >&2
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
