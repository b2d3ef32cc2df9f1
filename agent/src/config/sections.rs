//! The sections of the configuration. `deploy/agent.example.toml` explains each key to its user.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::choice::{LogFormat, LogLevel};
use super::otlp::Otlp;
use super::resource::{K8S_CLUSTER_NAME, K8S_NODE_NAME};
use super::source_settings::SourceSettings;
use super::values::attribute_values;
use accelscope_core::metric::AttributeValue;
use accelscope_core::settings::textual::{optional, text};
use accelscope_export::compat::gpu_process_exporter::PidFormat;

/// The whole configuration, valid when it came from [`load`](super::load).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[log]`
    pub log: Log,
    /// `[host]`
    pub host: Host,
    /// The sections of the sources.
    #[serde(skip)]
    pub sources: SourceSettings,
    /// `[http]`
    pub http: Http,
    /// `[otlp]`
    pub otlp: Otlp,
    /// `[resource]`: attributes that replace or join what is found out.
    #[serde(with = "attribute_values")]
    pub resource: BTreeMap<String, AttributeValue>,
    /// `[attribution]`
    pub attribution: Attribution,
    /// `[limits]`
    pub limits: Limits,
    /// `[compat]`
    pub compat: Compat,
}

/// The agent's own log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Which lines are written.
    #[serde(with = "text")]
    pub level: LogLevel,
    /// Their shape.
    #[serde(with = "text")]
    pub format: LogFormat,
}

/// Where the host is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// The host's root directory as the agent sees it.
    #[serde(with = "text")]
    pub root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { root: "/".into() }
    }
}

/// The listener of `/metrics`, `/healthz` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// Whether it listens.
    pub enabled: bool,
    /// Where.
    #[serde(with = "text")]
    pub listen: SocketAddr,
    /// Resource attributes that stand on every pulled series.
    pub resource_labels: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: (Ipv4Addr::LOCALHOST, 9464).into(),
            resource_labels: vec![K8S_NODE_NAME.to_owned(), K8S_CLUSTER_NAME.to_owned()],
        }
    }
}

/// How finely activity is told apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribution {
    /// A series for each process, where otherwise a container's processes share one.
    pub per_process: bool,
}

/// What a flood of names may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Series of one instrument; what exceeds it goes into one overflow series.
    pub series_per_instrument: usize,
    /// Series of all instruments together.
    pub series: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_per_instrument: 2_000,
            series: 20_000,
        }
    }
}

/// Views that stand in for other exporters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compat {
    /// Directory or file that gets the series of `gpu_process_exporter` for node-exporter; none by default.
    #[serde(with = "optional")]
    pub textfile: Option<PathBuf>,
    /// `[compat.hailo_exporter]`
    pub hailo_exporter: CompatView,
    /// `[compat.gpu_process_exporter]`
    pub gpu_process_exporter: GpuProcessExporter,
    /// `[compat.system_info_exporter]`
    pub system_info_exporter: CompatView,
    /// `[compat.k8s_monitor]`
    pub k8s_monitor: K8sMonitor,
}

/// The replaced Ascend collector, which wrote a node annotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct K8sMonitor {
    /// Whether the annotation is written.
    pub annotation: bool,
    /// Shortest time between two writes of different values.
    #[serde(with = "text")]
    pub interval: Duration,
}

impl Default for K8sMonitor {
    fn default() -> Self {
        Self {
            annotation: false,
            interval: Duration::from_secs(30),
        }
    }
}

/// One replaced exporter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompatView {
    /// Where it listens; nowhere by default.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
}

/// The replaced exporter of GPU processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuProcessExporter {
    /// Where it listens; nowhere by default.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// How its label `pid` is written, in the text file too.
    #[serde(with = "text")]
    pub pid_format: PidFormat,
}

impl Config {
    /// Every address that is listened on, with its key.
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let compat = &self.compat;
        let all = [
            ("http.listen", self.http.enabled.then_some(self.http.listen)),
            ("compat.hailo_exporter.listen", compat.hailo_exporter.listen),
            ("compat.gpu_process_exporter.listen", compat.gpu_process_exporter.listen),
            ("compat.system_info_exporter.listen", compat.system_info_exporter.listen),
        ];
        all.into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
            .collect()
    }
}
