#!/usr/bin/env bash
# Builds an OpenTelemetry Collector with its own builder: OTLP in; file, Prometheus and remote write out.
# usage: otelcol.sh PREFIX VERSION     (the binary is PREFIX/otelcol-VERSION; nothing is done where it exists)
set -euo pipefail
prefix=$1 version=$2
[ -x "$prefix/otelcol-$version" ] && exit
echo "building the OpenTelemetry Collector $version, which takes minutes" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/go.sh" "$work"
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
