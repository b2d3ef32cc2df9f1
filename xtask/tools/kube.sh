#!/usr/bin/env bash
# Builds etcd, kube-apiserver and kubectl as one program that does what its name says, from their Go modules.
# usage: kube.sh PREFIX VERSION        (the folder is PREFIX/kube-VERSION; nothing is done where it exists)
set -euo pipefail
prefix=$1 version=$2
[ -x "$prefix/kube-$version/kube-apiserver" ] && exit
echo "building Kubernetes' API server $version, which takes five to ten minutes" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/go.sh" "$work"
mkdir "$work/source"
cd "$work/source"
cat > main.go <<'GO'
package main

import (
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		os.Exit(cli.Run(cmd.NewDefaultKubectlCommand()))
	default:
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	}
}
GO
# Kubernetes' own go.mod takes its staging modules from its source tree; here they are those of the same release.
gomod=$(cd "$work" && go mod download -json "k8s.io/kubernetes@$version" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["GoMod"])')
{
    printf 'module kube\n\ngo 1.24.0\n\ngodebug default=go1.24\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$version"
    sed -n 's#^\t\(k8s.io/[a-z-]*\) => ./staging.*#\t\1 => \1 v0.'"${version#v1.}"'#p' "$gomod"
    echo ')'
} > go.mod
go mod tidy
# The API server refuses to start without a version.
of=k8s.io/component-base/version
minor=${version#v1.}
go build -trimpath -o "$work/kube" -ldflags "-s -w -X $of.gitVersion=$version -X $of.gitMajor=1 -X $of.gitMinor=${minor%%.*}"
rm -rf "$prefix/kube-$version.part"
mkdir -p "$prefix/kube-$version.part"
install -m 0755 "$work/kube" "$prefix/kube-$version.part/kube-apiserver"
for program in etcd kubectl; do ln -s kube-apiserver "$prefix/kube-$version.part/$program"; done
rm -rf "$prefix/kube-$version"
mv "$prefix/kube-$version.part" "$prefix/kube-$version"
