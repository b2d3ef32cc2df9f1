#!/usr/bin/env bash
# Gets one of Debian's kernels:
#   kernel.sh FOLDER SUITE ARCHITECTURE FLAVOUR [MODULE...]
# FOLDER gets vmlinuz, config and release (its name). Nothing is done where it has them.
# FLAVOUR begins what follows linux-image- in the package's name: "cloud-" is the smallest, with the same options for
# tracing as the others, but without modules for graphics and IPMI; "" and "rt-" have them.
# Without MODULE, FOLDER gets headers/ too (the folder for make -C); with it modules/, which holds those modules and those
# that they need, and modules/order, which names them in the order of loading.
set -euo pipefail
folder=$1 suite=$2 architecture=$3 flavour=$4 modules=("${@:5}")
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
image=$(depends "linux-image-$flavour$architecture:$architecture" | grep '^linux-image-')
release=${image#linux-image-}

# module NAME: that module of root/ and, before it, those that it needs.
module() {
  local file needed
  [ ! -e "modules/$1.ko" ] || return 0
  file=$(find root -path "*/modules/*" -name "$1.ko*" -print -quit)
  # One that is built in has no file.
  [ -n "$file" ] || return 0
  case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -qdc "$file" ;;
    *) cat "$file" ;;
  esac >"modules/$1.ko"
  needed=$(readelf --string-dump=.modinfo "modules/$1.ko" | sed -n 's/^.* depends=//p' | tr ',' ' ')
  for needed in $needed; do
    module "$needed"
  done
  echo "$1" >>modules/order
}

if [ ${#modules[@]} -gt 0 ]; then
  unpack root "$image:$architecture"
  cp "root/boot/vmlinuz-$release" vmlinuz
  cp "root/boot/config-$release" config
  mkdir modules
  for module in "${modules[@]}"; do
    module "$module"
    [ -e "modules/$module.ko" ] || { echo "$image has no module $module" >&2; exit 1; }
  done
  rm -rf apt root
  echo "$release" >release
  exit 0
fi

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
