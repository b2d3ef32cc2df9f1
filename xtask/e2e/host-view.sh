#!/usr/bin/env bash
# Runs a command that sees at VIEW what a DaemonSet sees at /host: this machine, but with another /sys and /run.
# Private to a mount namespace of its own, so nothing is left behind.
# usage: unshare --mount --propagation private host-view.sh VIEW OVERLAY COMMAND...   (OVERLAY/sys, OVERLAY/run)
set -euo pipefail
view=$1 overlay=$2
shift 2
mkdir -p "$view"
mount --rbind / "$view"
for part in sys run; do
    mount -t tmpfs tmpfs "$view/$part"
    cp -a "$overlay/$part/." "$view/$part/"
done
mkdir -p "$view/sys/fs/cgroup"
mount --rbind /sys/fs/cgroup "$view/sys/fs/cgroup"
exec "$@"
