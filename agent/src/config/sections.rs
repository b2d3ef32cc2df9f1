//! Sections of the configuration: keys with their defaults, documentation and validation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use bytesize::ByteSize;

use super::choice::{LogFormat, LogLevel};
use super::compat::{Compat, VIEWS};
use super::listeners::{self, ListenerAuth, ListenerTls};
use super::otlp::Otlp;
use super::proxy::Proxies;
use super::resource::{K8S_CLUSTER_NAME, K8S_NODE_NAME};
use super::source_settings::SourceSettings;
use super::values::attributes;
use crate::status::DEFAULT_DIRECTORY;
use accelscope_core::budget;
use accelscope_core::metric::AttributeValue;
use accelscope_core::settings;
use accelscope_core::settings::Check;
use accelscope_core::settings::textual::{Textual as _, list, optional, text};
use accelscope_export::http::HostPattern;

settings! {
    /// The whole configuration; validated if it was returned by [`load`](super::load).
    pub struct Config {
        /// The agent's own log, written to stderr.
        #[table(Section(Log))]
        pub log: Log = Log::default(),
        /// Where the host is.
        #[table(Section(Host))]
        pub host: Host = Host::default(),
        /// Pull: /metrics (Prometheus and OpenMetrics), /healthz, /readyz.
        #[table(Section(Http))]
        pub http: Http = Http::default(),
        /// Push over OTLP. This section is the destination "default".
        /// OTEL_SDK_DISABLED=true and OTEL_METRICS_EXPORTER=none stop all push; pull goes on.
        /// HTTPS_PROXY, HTTP_PROXY (by the endpoint's scheme), ALL_PROXY and NO_PROXY, or the same in lower case, which comes first,
        /// are honoured as by curl and Go: NO_PROXY has hosts with all below them, host:port, addresses, networks (10.0.0.0/8) or
        /// "*"; case, brackets and dots around a host do not matter, bücher.example is xn--bcher-kva.example, and an entry that is none
        /// of these is warned of. This machine is always reached directly. gRPC and https:// go through CONNECT. `agent doctor` shows
        /// the way.
        #[table(Section(Otlp))]
        pub otlp: Otlp = Otlp::default(),
        /// Resource attributes (text, whole number or bool) that replace or join those that are found out: service.name,
        /// service.version, service.instance.id, host.name, host.id, host.arch, os.type, k8s.node.name (from K8S_NODE_NAME, or
        /// NODE_NAME in a pod), k8s.cluster.name (from K8S_CLUSTER_NAME). "" leaves one out.
        /// In the environment "__" stands for the dot: ACCELSCOPE__RESOURCE__K8S__CLUSTER__NAME=edge
        /// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
        ///
        /// "k8s.cluster.name" = "edge"
        /// deployment.environment.name = "production"
        #[table(Open)]
        #[serde(skip_serializing, deserialize_with = "attributes")]
        pub resource: BTreeMap<String, AttributeValue> = BTreeMap::new(),
        /// Whom activity is given to.
        #[table(Section(Attribution))]
        pub attribution: Attribution = Attribution::default(),
        /// Bounds of what a flood of names may cost, shared fairly among containers, jobs, units and devices; what exceeds them
        /// goes into a series marked otel.metric.overflow="true".
        #[table(Section(Limits))]
        pub limits: Limits = Limits::default(),
        /// What `agent doctor` asks the running agent.
        #[table(Section(Status))]
        pub status: Status = Status::default(),
        /// What stands in for other exporters, with their names and labels.
        #[table(Section(Compat))]
        pub compat: Compat = Compat::default(),

        #[internal]
        /// Sections of the sources.
        pub sources: SourceSettings,

        #[internal]
        /// Proxies of the environment.
        pub proxies: Proxies,
    }
}

settings! {
    /// The agent's own log.
    pub struct Log {
        /// What is written: "error", "warn", "info", "debug" or "trace".
        #[serde(with = "text")]
        pub level: LogLevel = LogLevel::Info,
        /// "text" for people, "json" for programs (one object a line).
        #[serde(with = "text")]
        pub format: LogFormat = LogFormat::Text,
    }
}

settings! {
    /// Location of the host's file systems.
    pub struct Host {
        /// Path: the host's root directory as the agent sees it. In a container the place where "/" of the host is mounted,
        /// e.g. "/host". All paths of the host below are looked up under it.
        #[serde(with = "text")]
        pub root: PathBuf = "/".into(),
    }
}

impl Host {
    pub(super) fn validate(&self, check: &mut Check) {
        check.absolute("root", &self.root);
    }
}

settings! {
    /// The listener of `/metrics`, `/healthz` and `/readyz`.
    pub struct Http {
        /// Bool: whether to listen.
        pub enabled: bool = true,
        /// Address and port. Loopback by default; "0.0.0.0:9464" or "[::]:9464" opens it to the network.
        #[serde(with = "text")]
        pub listen: SocketAddr = (Ipv4Addr::LOCALHOST, 9464).into(),
        /// List of text: resource attributes that stand as labels on every series of /metrics. All of them are in target_info.
        pub resource_labels: Vec<String> = vec![K8S_NODE_NAME.to_owned(), K8S_CLUSTER_NAME.to_owned()],
        /// List of text: names by which this listener and those of [compat] may be asked, beside addresses, localhost and the names
        /// of this machine and its node; "*.example.com" for all below it, "*" for every name. A request that names another one
        /// (its Host header) is refused: a page in a browser could have pointed that name here. Needed behind a proxy that passes
        /// the name on, and where scrapers use the name of a Service. Prometheus' discovery in Kubernetes uses addresses.
        /// allowed_hosts = ["accelscope.monitoring.svc", "*.nodes.example.com"]
        #[serde(with = "list")]
        pub allowed_hosts: Vec<HostPattern> = Vec::new(),
        /// TLS of this listener.
        #[table(Section(ListenerTls))]
        pub tls: ListenerTls = ListenerTls::default(),
        /// Authentication of its clients.
        #[table(Section(ListenerAuth))]
        pub auth: ListenerAuth = ListenerAuth::default(),
    }
}

impl Http {
    pub(super) fn validate(&self, check: &mut Check) {
        listeners::validate(&self.tls, &self.auth, self.listen, check);
    }
}

impl Http {
    /// Leaves each label once: twice, its values would be joined. The result says which stood there twice.
    pub(super) fn remove_repeated_labels(&mut self) -> Option<String> {
        let mut repeated = Vec::new();
        let mut seen = BTreeSet::new();
        self.resource_labels.retain(|label| {
            let is_first = seen.insert(label.clone());
            if !is_first {
                repeated.push(label.clone());
            }
            is_first
        });
        (!repeated.is_empty()).then(|| format!("names {} more than once; once is enough", repeated.join(", ")))
    }
}

settings! {
    /// What `agent doctor` asks the running agent.
    pub struct Status {
        /// Path, as this process sees it: a directory in which the agent has a socket, agent-PID.sock, that tells `agent
        /// doctor` its rights, hooks, queues and errors. It is made if it does not exist. A user who may not write to the default
        /// one gets $XDG_RUNTIME_DIR/accelscope. "" means none.
        #[serde(with = "optional")]
        pub directory: Option<PathBuf> = Some(DEFAULT_DIRECTORY.into()),
    }
}

impl Status {
    pub(super) fn validate(&self, check: &mut Check) {
        if let Some(path) = &self.directory {
            check.absolute("directory", path);
        }
    }
}

settings! {
    /// Granularity of attribution.
    pub struct Attribution {
        /// Bool: a series for each process. By default the processes of a container that run the same executable share one.
        /// Memory and utilization that a driver reports for each process are always shown so.
        pub per_process: bool = false,
        /// List of paths: directories in which container engines keep their containers, beside those that are found by the
        /// engines' own configuration, in users' homes and by running engines: a data-root of Docker, a graphroot or runroot
        /// of Podman or CRI-O, a state directory of containerd, the graph directory of iSulad. Names and images come from
        /// there.
        /// engine_directories = ["/mnt/ssd/docker"]
        #[serde(with = "list")]
        pub engine_directories: Vec<PathBuf> = Vec::new(),
    }
}

impl Attribution {
    pub(super) fn validate(&self, check: &mut Check) {
        for path in &self.engine_directories {
            check.absolute("engine_directories", path);
        }
    }
}

settings! {
    /// Limits of memory and cardinality.
    pub struct Limits {
        /// Size, 24MiB at least: memory of the agent process; worker processes, eBPF maps and `agent doctor` come on top. Series,
        /// what is kept of ended ones, names, answers and queues draw on it (docs/limits.md): when it is short, names are
        /// forgotten first, then new series go into overflow series, and the queues lose their oldest records. "" means 48MiB,
        /// or three quarters of the memory limit of the agent's control group where that is less.
        #[serde(with = "optional")]
        pub memory: Option<ByteSize> = None,
        /// Whole number: series of one instrument.
        pub series_per_instrument: usize = 2_000,
        /// Whole number: series of all instruments together.
        pub series: usize = 20_000,
    }
}

impl Limits {
    pub(super) fn validate(&self, check: &mut Check) {
        for (key, limit) in [
            ("series_per_instrument", self.series_per_instrument),
            ("series", self.series),
        ] {
            if limit == 0 {
                check.error(key, "must be at least 1");
            }
        }
        if let Some(memory) = self.memory.filter(|memory| memory.0 < budget::LEAST) {
            let least = ByteSize(budget::LEAST).show();
            let shown = memory.show();
            check.error(
                "memory",
                format!("{shown} is too little to work with; write {least} or more"),
            );
        }
    }

    /// Memory that the agent process may take, in bytes, and what is doubtful about it; `of_group` is what its control group
    /// may have.
    pub fn memory_within(&self, of_group: Option<u64>) -> (u64, Option<String>) {
        let shown = |bytes: u64| ByteSize(bytes).show();
        match (self.memory, of_group) {
            (Some(ByteSize(memory)), Some(group)) if memory > group => {
                let doubt = format!(
                    "limits.memory: {} is more than the {} that the agent's control group may have (memory.max): the kernel would \
                     kill it before; raise that limit, or lower limits.memory to three quarters of it",
                    shown(memory),
                    shown(group)
                );
                (memory, Some(doubt))
            }
            (Some(ByteSize(memory)), _) => (memory, None),
            (None, Some(group)) if group / 4 * 3 < budget::LEAST => {
                let doubt = format!(
                    "limits.memory: the agent's control group may have {} (memory.max), of which too little is left for readings: \
                     raise that limit to {} or more",
                    shown(group),
                    shown(budget::LEAST / 3 * 4)
                );
                (group / 4 * 3, Some(doubt))
            }
            (None, group) => (
                group.map_or(budget::DEFAULT, |group| budget::DEFAULT.min(group / 4 * 3)),
                None,
            ),
        }
    }
}

impl Config {
    /// All addresses of listeners, with their keys.
    pub fn listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        let own = self.http.enabled.then_some(("http.listen", self.http.listen));
        let views = VIEWS
            .iter()
            .filter_map(|view| Some((view.key, view.of(&self.compat).0?)));
        own.into_iter().chain(views).collect()
    }
}
