#!/usr/bin/env bash
# Gets one of Debian's kernels with what modules are built with:
#   kernel.sh FOLDER SUITE ARCHITECTURE
# FOLDER gets vmlinuz, config, release (its name) and headers/ (the folder for make -C). Nothing is done where it has them.
# The flavour is "cloud": the smallest, with the same options for tracing as the others.
set -euo pipefail
folder=$1 suite=$2 architecture=$3
# shellcheck source=xtask/vm/archive.sh
. "$(dirname "$0")/archive.sh"

[ ! -e "$folder/release" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
archive "$suite" "$architecture"

depends() {
  apt-cache "${options[@]}" show --no-all-versions "$1" | sed -n 's/^Depends: //p' | tr ',|' '\n\n' | sed 's/^ *//; s/ .*//'
}
image=$(depends "linux-image-cloud-$architecture:$architecture" | grep '^linux-image-')
release=${image#linux-image-}
headers=linux-headers-$release
mapfile -t shared < <(depends "$headers:$architecture" | grep -E '^linux-(headers-.*-common|kbuild-)')
# The programs of kbuild run on this machine, whatever machine the kernel is for.
unpack root "$image:$architecture" "$headers:$architecture" "${shared[@]/%/:$(dpkg --print-architecture)}"

# The packages name each other by where they would be installed.
sed -i "s|/usr/src/|$PWD/root/usr/src/|" "root/usr/src/$headers/Makefile"
cp "root/boot/vmlinuz-$release" vmlinuz
cp "root/boot/config-$release" config
ln -s "root/usr/src/$headers" headers
rm -rf apt root/boot root/lib/modules root/usr/share
echo "$release" >release
