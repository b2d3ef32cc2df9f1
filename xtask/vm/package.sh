#!/usr/bin/env bash
# Gets a package of Debian for another architecture, unpacked and not installed:
#   package.sh FOLDER ARCHITECTURE PACKAGE
set -euo pipefail
folder=$1 architecture=$2 package=$3
mirror=${ACCELSCOPE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

[ ! -e "$folder/complete" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
cd "$folder"
echo "deb [signed-by=$keys] $mirror bookworm main" >apt/sources.list
options=(
  -q
  -o "Dir::Etc::SourceList=$PWD/apt/sources.list" -o Dir::Etc::SourceParts=-
  -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache"
  -o "APT::Architectures=$architecture" -o "APT::Architecture=$architecture" -o APT::Sandbox::User=root
  -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
)
apt-get "${options[@]}" update
apt-get "${options[@]}" download "$package:$architecture"
for file in *.deb; do dpkg -x "$file" .; rm "$file"; done
rm -rf apt
touch complete
