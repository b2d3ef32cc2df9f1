#!/usr/bin/env bash
# Unpacks Prometheus 3 and promtool from Debian's suite sid; nothing is installed. Debian's stable suites have only
# Prometheus 2, which lacks the OTLP receiver.
# usage: prometheus.sh PREFIX          (PREFIX/prometheus, PREFIX/promtool; nothing is done where they exist)
set -euo pipefail
prefix=$1
[ -x "$prefix/prometheus" ] && [ -x "$prefix/promtool" ] && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work" # apt reads and writes there as its own user
# The mirror this machine already uses; only its suite differs.
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null || true; } |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' | grep -m 1 '/debian/*$' || true)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || { echo "$keyring is missing: apt-get install debian-archive-keyring" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$prefix"
cat > "$work/sid.sources" <<SOURCES
Types: deb
URIs: ${mirror:-http://deb.debian.org/debian}
Suites: sid
Components: main
Signed-By: $keyring
SOURCES
apt=(apt-get -o Dir::Etc::sourcelist="$work/sid.sources" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root)
"${apt[@]}" -qq update
cd "$work"
"${apt[@]}" -qq download prometheus promtool
for package in *.deb; do dpkg -x "$package" root; done
install -m 0755 root/usr/bin/promtool root/usr/bin/prometheus "$prefix/"
