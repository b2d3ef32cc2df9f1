#!/usr/bin/env bash
# Gets packages of Debian:
#   package.sh FOLDER SUITE ARCHITECTURE PACKAGE...
# FOLDER gets what they hold. Nothing is done where it has it.
set -euo pipefail
folder=$1 suite=$2 architecture=$3
shift 3
# shellcheck source=xtask/vm/archive.sh
. "$(dirname "$0")/archive.sh"

[ ! -e "$folder/complete" ] || exit 0
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
archive "$suite" "$architecture"
unpack . "${@/%/:$architecture}"
rm -rf apt
touch complete
