//! What stands in for other exporters: their sections, and the one list of those that listen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::listeners::{ListenerAuth, ListenerTls};
use accelscope_core::metric::MetricsSource;
use accelscope_core::settings;
use accelscope_core::settings::Check;
use accelscope_core::settings::textual::{optional, text};
use accelscope_export::compat::gpu_process_exporter::PidFormat;
use accelscope_export::compat::{gpu_process_exporter, hailo_exporter, system_info_exporter};
use accelscope_export::http::Route;

/// Shortest annotation interval: that of the replaced collector.
const SHORTEST_ANNOTATION: Duration = Duration::from_secs(3);
/// Annotation interval below which many nodes overload an API server.
const KIND_ANNOTATION: Duration = Duration::from_secs(30);

/// A view with a listener of its own.
#[derive(Debug)]
pub struct View {
    /// Its section in `[compat]`.
    pub section: &'static str,
    /// Key of its address.
    pub key: &'static str,
    /// Whether it answers what it does not know with the status alone, as the replaced tool did.
    pub is_bare: bool,
    settings: fn(&Compat) -> ViewSettings<'_>,
    routes: fn(&Arc<dyn MetricsSource>, &Compat) -> Vec<Route>,
}

/// Address, TLS and authentication of a view.
type ViewSettings<'a> = (Option<SocketAddr>, &'a ListenerTls, &'a ListenerAuth);

/// All of them.
pub static VIEWS: [View; 3] = [
    View {
        section: "hailo_exporter",
        key: "compat.hailo_exporter.listen",
        is_bare: false,
        settings: |compat| compat.hailo_exporter.listener(),
        routes: |source, _| hailo_exporter::routes(source),
    },
    View {
        section: "gpu_process_exporter",
        key: "compat.gpu_process_exporter.listen",
        is_bare: false,
        settings: |compat| {
            let view = &compat.gpu_process_exporter;
            (view.listen, &view.tls, &view.auth)
        },
        routes: |source, compat| gpu_process_exporter::routes(source, compat.gpu_process_exporter.pid_format),
    },
    View {
        section: "system_info_exporter",
        key: "compat.system_info_exporter.listen",
        is_bare: true,
        settings: |compat| {
            let view = &compat.system_info_exporter;
            (view.listen, &view.tls, &view.auth)
        },
        routes: |source, compat| {
            let node = &*compat.system_info_exporter.node;
            system_info_exporter::routes(source, Some(node).filter(|node| !node.is_empty()))
        },
    },
];

impl View {
    /// Its address, TLS and authentication.
    pub fn of<'a>(&self, compat: &'a Compat) -> ViewSettings<'a> {
        (self.settings)(compat)
    }

    /// What it answers.
    pub fn routes(&self, source: &Arc<dyn MetricsSource>, compat: &Compat) -> Vec<Route> {
        (self.routes)(source, compat)
    }
}

settings! {
    /// Compatibility views that replace other exporters.
    pub struct Compat {
        /// Path, as this process sees it: a directory, or a file ending in .prom, that gets the series of gpu_process_exporter for
        /// node-exporter's textfile collector every 15 s, replaced at once and removed when the agent stops. "" means none.
        #[serde(with = "optional")]
        pub textfile: Option<PathBuf> = None,
        /// The Hailo exporter, e.g. on "0.0.0.0:9102". Each of these listens on an address of its own.
        #[table(Section(CompatView))]
        pub hailo_exporter: CompatView = CompatView::default(),
        /// AstraGo's GPU Process Exporter, e.g. on "0.0.0.0:9101": gpu_process_* and gpu_total_processes.
        #[table(Section(GpuProcessExporter))]
        pub gpu_process_exporter: GpuProcessExporter = GpuProcessExporter::default(),
        /// system-info-exporter, e.g. on "0.0.0.0:8080": /metrics with its hw_*, /metrics/json, /node, /health, /healthz and /ready.
        #[table(Section(SystemInfoExporter))]
        pub system_info_exporter: SystemInfoExporter = SystemInfoExporter::default(),
        /// The node annotation k8s-monitor.io/npu-metrics of the Ascend collector that this replaces.
        #[table(Section(K8sMonitor))]
        pub k8s_monitor: K8sMonitor = K8sMonitor::default(),
    }
}

impl Compat {
    pub(super) fn validate(&self, check: &mut Check) {
        if let Some(path) = &self.textfile {
            check.absolute("textfile", path);
        }
        let (key, interval) = ("k8s_monitor.interval", self.k8s_monitor.interval);
        check.between(key, interval, SHORTEST_ANNOTATION, Duration::from_hours(1));
        if self.k8s_monitor.annotation && interval < KIND_ANNOTATION {
            check.warn(
                key,
                "each write goes to every watcher of nodes: a thousand nodes at 3 s are 300 writes a second; 30s is kinder",
            );
        }
    }
}

settings! {
    /// One replaced exporter.
    pub struct CompatView {
        /// Address and port; "" means off.
        #[serde(with = "optional")]
        pub listen: Option<SocketAddr> = None,
        /// TLS of this listener; what is not set is as in [http.tls], and "" means none.
        #[table(Section(ListenerTls))]
        pub tls: ListenerTls = ListenerTls::default(),
        /// Authentication of its clients; what is not set is as in [http.auth], and "" means none.
        #[table(Section(ListenerAuth))]
        pub auth: ListenerAuth = ListenerAuth::default(),
    }
}

impl CompatView {
    const fn listener(&self) -> ViewSettings<'_> {
        (self.listen, &self.tls, &self.auth)
    }
}

settings! {
    /// The replaced exporter of GPU processes.
    pub struct GpuProcessExporter {
        /// Address and port; "" means off.
        #[serde(with = "optional")]
        pub listen: Option<SocketAddr> = None,
        /// The label pid, here and in the text file. "raw": the host's process id, as its scripts wrote it. "gpu_prefixed":
        /// the GPU's index before it, such as gpu0_4711, as its README had it.
        #[serde(with = "text")]
        pub pid_format: PidFormat = PidFormat::default(),
        /// TLS of this listener; what is not set is as in [http.tls], and "" means none.
        #[table(Section(ListenerTls))]
        pub tls: ListenerTls = ListenerTls::default(),
        /// Authentication of its clients; what is not set is as in [http.auth], and "" means none.
        #[table(Section(ListenerAuth))]
        pub auth: ListenerAuth = ListenerAuth::default(),
    }
}

settings! {
    /// The replaced exporter of nodes.
    pub struct SystemInfoExporter {
        /// Address and port; "" means off. While it is set, the replaced tool's APP__SERVER__HOST and APP__SERVER__PORT take
        /// precedence over its parts, except where --set gives it.
        #[serde(with = "optional")]
        pub listen: Option<SocketAddr> = None,
        /// Text: the label node. "" means k8s.node.name of [resource], else host.name. While listen is set, NODE_NAME, the
        /// replaced tool's variable, takes precedence over the file.
        pub node: String = String::new(),
        /// TLS of this listener; what is not set is as in [http.tls], and "" means none.
        #[table(Section(ListenerTls))]
        pub tls: ListenerTls = ListenerTls::default(),
        /// Authentication of its clients; what is not set is as in [http.auth], and "" means none.
        #[table(Section(ListenerAuth))]
        pub auth: ListenerAuth = ListenerAuth::default(),
    }
}

settings! {
    /// Replacement of the Ascend collector that wrote a node annotation.
    pub struct K8sMonitor {
        /// Bool: write it, through the Kubernetes API with the pod's service account. NODE_NAME names the node.
        pub annotation: bool = false,
        /// Duration: shortest time between two writes of different values. COLLECT_INTERVAL, in seconds, is its older name.
        /// ascend.period follows it where it is shorter and ascend.period is not set.
        #[serde(with = "text")]
        pub interval: Duration = Duration::from_secs(30),
    }
}
