#!/usr/bin/env bash
# The NVML that Performance Co-Pilot's test suite brings, from Debian's package pcp-testsuite: a library that this
# project did not write. Unpacked, not installed.
# usage: pcp-nvml.sh PREFIX   (PREFIX/libnvidia-ml.so, PREFIX/libpcp.so.3)
set -euo pipefail
prefix=$1
[ -f "$prefix/libnvidia-ml.so" ] && [ -f "$prefix/libpcp.so.3" ] && exit
echo "fetching the NVML of PCP's test suite" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get -qq -o Acquire::Retries=3 download pcp-testsuite; then
    # Lists of packages that are no longer true.
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get -qq -o Acquire::Retries=3 update
    apt-get -qq -o Acquire::Retries=3 download pcp-testsuite
fi
dpkg-deb --fsys-tarfile pcp-testsuite_*.deb | tar -x ./var/lib/pcp/testsuite/src/libnvidia-ml.so
# All that it wants of libpcp are the switches for its own debugging; the real one wants half a dozen libraries more.
echo 'unsigned char pmDebugOptions[512];' > pcp.c
echo 'PCP_3.21 { global: pmDebugOptions; };' > pcp.map
cc -shared -fPIC -Wl,-soname,libpcp.so.3 -Wl,--version-script=pcp.map -o libpcp.so.3 pcp.c
mkdir -p "$prefix"
install -m 0755 libpcp.so.3 "$prefix/"
install -m 0755 var/lib/pcp/testsuite/src/libnvidia-ml.so "$prefix/libnvidia-ml.so.part"
mv "$prefix/libnvidia-ml.so.part" "$prefix/libnvidia-ml.so"
