#!/usr/bin/env bash
# Puts the standard library's sources into a toolchain, where rustup's component server is out of reach: from Debian's
# unstable.
# usage: rust-src.sh TOOLCHAIN
set -euo pipefail
toolchain=$1
unset RUSTUP_TOOLCHAIN RUSTC CARGO
sysroot=$(rustc "+$toolchain" --print sysroot)
[ ! -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

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
    apt-get -qq -o Acquire::Retries=3 -o Dir::Etc::sourcelist="$work/unstable.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
}
apt update
(cd "$work" && apt download rust-src && dpkg -x rust-src_*.deb source)
mkdir -p "$sysroot/lib/rustlib/src/rust"
cp -r "$work"/source/usr/src/rustc-*/library "$sysroot/lib/rustlib/src/rust/"
