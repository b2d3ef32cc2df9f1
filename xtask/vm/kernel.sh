#!/usr/bin/env bash
# Gets one of Debian's kernels with what modules are built with, unpacked beside the machine's own and not installed:
#   kernel.sh FOLDER SUITE ARCHITECTURE
# FOLDER gets vmlinuz, config, release (its name) and headers/ (the folder for make -C). Nothing is done where it has them.
#
# The packages are fetched by apt-get from Debian's archive (ACCELSCOPE_DEBIAN_MIRROR names another), so their signatures
# are checked against the keys of the package debian-archive-keyring. The flavour is "cloud": the smallest, with the
# same options for tracing as the others.
set -euo pipefail
folder=$1 suite=$2 architecture=$3
mirror=${ACCELSCOPE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

[ ! -e "$folder/release" ] || exit 0
[ -e "$keys" ] || { echo "$keys is missing: apt-get install debian-archive-keyring" >&2; exit 1; }

rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/root"
cd "$folder"
host=$(dpkg --print-architecture)
echo "deb [signed-by=$keys] $mirror $suite main" >apt/sources.list
options=(
  -q
  -o "Dir::Etc::SourceList=$PWD/apt/sources.list" -o Dir::Etc::SourceParts=-
  -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache"
  -o "APT::Architectures=$host,$architecture" -o "APT::Architecture=$host" -o APT::Sandbox::User=root
  -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
)
apt-get "${options[@]}" update

depends() { apt-cache "${options[@]}" show --no-all-versions "$1" | sed -n 's/^Depends: //p' | tr ',|' '\n\n' | sed 's/^ *//; s/ .*//'; }
image=$(depends "linux-image-cloud-$architecture:$architecture" | grep '^linux-image-')
release=${image#linux-image-}
headers=linux-headers-$release
mapfile -t shared < <(depends "$headers:$architecture" | grep -E '^linux-(headers-.*-common|kbuild-)')
# The programs of kbuild run on this machine, whatever machine the kernel is for.
(cd root && apt-get "${options[@]}" download "$image:$architecture" "$headers:$architecture" "${shared[@]/%/:$host}")
for package in root/*.deb; do dpkg -x "$package" root; rm "$package"; done

# The packages name each other by where they would be installed.
sed -i "s|/usr/src/|$PWD/root/usr/src/|" "root/usr/src/$headers/Makefile"
cp "root/boot/vmlinuz-$release" vmlinuz
cp "root/boot/config-$release" config
ln -s "root/usr/src/$headers" headers
rm -rf apt root/boot root/lib/modules root/usr/share
echo "$release" >release
