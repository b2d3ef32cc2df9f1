//! Texts of `--help` and `--version`.

use accelscope_core::telemetry::Build;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Version and build of this program.
pub const BUILD: Build = Build {
    revision: env!("ACCELSCOPE_REVISION"),
    rustc: env!("ACCELSCOPE_RUSTC"),
};

pub(super) const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nrevision: ",
    env!("ACCELSCOPE_REVISION"),
    "\ncompiler: ",
    env!("ACCELSCOPE_RUSTC"),
    "\ntarget:   ",
    env!("ACCELSCOPE_TARGET"),
);

pub(super) const ABOUT: &str = "Tells which process, container and pod uses each accelerator of this machine";

pub(super) const LONG_ABOUT: &str = "\
Tells which process, container and pod uses each accelerator of this machine, how much and how well.

Without arguments it runs until it is stopped: it measures, pushes OTLP to an OpenTelemetry Collector \
(http://localhost:4317 unless configured otherwise) and serves /metrics, /healthz and /readyz on 127.0.0.1:9464. \
With --stdout it only prints.";

pub(super) const SEE_MORE: &str = "See --help for examples, exit codes and the configuration.";

pub(super) const EXAMPLES: &str = "\
Examples:
  agent --stdout --demo
      See what it looks like, on any machine: a live table of simulated accelerators.
  agent --stdout --once --format json
      One reading of this machine's accelerators for a script.
  agent --config /etc/accelscope/agent.toml --set otlp.endpoint=http://collector:4317
      Measure and push to a Collector.
  Nothing to see? `agent doctor` says what is missing and how to mend it.

Configuration, the strongest first:
  --set SECTION.KEY=VALUE           one key
  ACCELSCOPE__SECTION__KEY=VALUE    the same keys in the environment; each \"__\" is a dot
  OTEL_EXPORTER_OTLP_*, OTEL_*      OpenTelemetry's own variables
  the file                          --config FILE, else /etc/accelscope/agent.toml
  Every key with its meaning and default: deploy/agent.example.toml in the source.
  `agent check-config FILE` tells whether a file is right.

Exit codes:
  0   done, or stopped by a signal as asked
  1   it could not do its work: the last line says why
  64  wrong usage or configuration: nothing was started";
