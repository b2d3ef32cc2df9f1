//! Sections of the configuration. `deploy/agent.example.toml` documents each key for users.

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

/// The whole configuration; validated if it was returned by [`load`](super::load).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `[log]`
    pub log: Log,
    /// `[host]`
    pub host: Host,
    /// Sections of the sources.
    #[serde(skip)]
    pub sources: SourceSettings,
    /// `[http]`
    pub http: Http,
    /// `[otlp]`
    pub otlp: Otlp,
    /// `[resource]`: attributes that override or complement the detected ones.
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
    /// Least severity of the lines.
    #[serde(with = "text")]
    pub level: LogLevel,
    /// Format of the lines.
    #[serde(with = "text")]
    pub format: LogFormat,
}

/// Location of the host's file systems.
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
    /// Whether it is enabled.
    pub enabled: bool,
    /// Address of the listener.
    #[serde(with = "text")]
    pub listen: SocketAddr,
    /// Resource attributes that are labels of every pulled series.
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

/// Granularity of attribution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribution {
    /// One series for each process instead of one for all processes of a container.
    pub per_process: bool,
}

/// Cardinality limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Series of one instrument; further ones are merged into one overflow series.
    pub series_per_instrument: usize,
    /// Series of all instruments.
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

/// Compatibility views that replace other exporters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compat {
    /// Directory or file for the series of `gpu_process_exporter`, read by node-exporter; none by default.
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

/// Replacement of the Ascend collector that wrote a node annotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct K8sMonitor {
    /// Whether the annotation is written.
    pub annotation: bool,
    /// Least time between two writes of different values.
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
    /// Address of the listener; none by default.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
}

/// The replaced exporter of GPU processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuProcessExporter {
    /// Address of the listener; none by default.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// Format of the label `pid`, in the text file too.
    #[serde(with = "text")]
    pub pid_format: PidFormat,
}

impl Config {
    /// All addresses of listeners, with their keys.
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
