//! Checks beyond types: ranges, and keys that contradict one another.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use accelscope_core::settings::{Check, Problem, Severity, not_absolute, out_of_range};
use accelscope_core::source::{Descriptor, Sources};
use http::{HeaderName, HeaderValue};

use super::layers::{KeyPath, Merged};
use super::otlp::{DEFAULT, Resolved};
use super::{Config, ConfigError, Origin};
use accelscope_export::otlp::Protocol;

/// Shortest annotation interval: that of the replaced collector.
const SHORTEST_ANNOTATION: Duration = Duration::from_secs(3);
/// Annotation interval below which many nodes overload an API server.
const KIND_ANNOTATION: Duration = Duration::from_secs(30);

/// Headers that the sender sets itself.
const OWN_HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "host",
    "te",
];

/// Collects errors and warnings with the origin of the key concerned.
pub(super) struct Validation<'a> {
    pub(super) merged: &'a Merged,
    pub(super) errors: &'a mut Vec<ConfigError>,
    pub(super) warnings: &'a mut Vec<String>,
}

fn path(parts: &[&str]) -> KeyPath {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

impl Validation<'_> {
    /// Performs all checks.
    pub(super) fn run(&mut self, config: &Config, sources: Sources) {
        for source in sources {
            self.source(config, source, sources);
        }
        self.ranges(config);
        self.listeners(config);
        self.resource(config);
        self.names(config);
        let destinations = config.resolved_destinations();
        for resolved in &destinations {
            self.destination(resolved);
        }
        self.duplicates(&destinations);
    }

    fn error(&mut self, at: &[&str], problem: impl Into<String>) {
        let at = path(at);
        self.errors.push(ConfigError {
            origin: self.merged.origin(&at),
            key: at.join("."),
            problem: problem.into(),
        });
    }

    fn warn(&mut self, at: &[&str], doubt: &str) {
        let at = path(at);
        let warning = match self.merged.origin(&at) {
            Origin::Default => format!("{}: {doubt}", at.join(".")),
            origin => format!("{origin}: {}: {doubt}", at.join(".")),
        };
        self.warnings.push(warning);
    }

    fn ranges(&mut self, config: &Config) {
        let hour = Duration::from_hours(1);
        self.between(
            &["otlp", "interval"],
            config.otlp.interval,
            Duration::from_millis(100),
            hour,
        );
        let interval = config.compat.k8s_monitor.interval;
        self.between(
            &["compat", "k8s_monitor", "interval"],
            interval,
            SHORTEST_ANNOTATION,
            hour,
        );
        if config.compat.k8s_monitor.annotation && interval < KIND_ANNOTATION {
            self.warn(
                &["compat", "k8s_monitor", "interval"],
                "each write goes to every watcher of nodes: a thousand nodes at 3 s are 300 writes a second; 30s is kinder",
            );
        }
        if config.limits.series_per_instrument == 0 {
            self.error(&["limits", "series_per_instrument"], "must be at least 1");
        }
        if config.limits.series == 0 {
            self.error(&["limits", "series"], "must be at least 1");
        }
        self.absolute(&["host", "root"], &config.host.root);
    }

    fn source(&mut self, config: &Config, source: &Descriptor, sources: Sources) {
        let mut check = Check::new(sources);
        config.sources.of(source).validate(&mut check);
        for Problem { severity, key, problem } in check.into_problems() {
            let at = [source.name, key];
            match severity {
                Severity::Error => self.error(&at, problem),
                Severity::Warning => self.warn(&at, &problem),
            }
        }
    }

    fn between(&mut self, at: &[&str], value: Duration, least: Duration, most: Duration) {
        if let Some(problem) = out_of_range(value, least, most) {
            self.error(at, problem);
        }
    }

    fn absolute(&mut self, at: &[&str], value: &Path) {
        if let Some(problem) = not_absolute(value) {
            self.error(at, problem);
        }
    }

    fn listeners(&mut self, config: &Config) {
        let meet = |a: SocketAddr, b: SocketAddr| {
            a.port() != 0
                && a.port() == b.port()
                && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        };
        let all = config.listeners();
        for (nth, (key, address)) in all.iter().enumerate() {
            if let Some((other, at)) = all[..nth].iter().find(|(_, other)| meet(*address, *other)) {
                let parts: Vec<&str> = key.split('.').collect();
                self.error(
                    &parts,
                    format!("{address} meets {other} ({at}); give each its own port"),
                );
            }
        }
        if let Some(path) = &config.compat.textfile {
            self.absolute(&["compat", "textfile"], path);
        }
    }

    fn resource(&mut self, config: &Config) {
        for key in config
            .resource
            .keys()
            .filter(|key| key.chars().any(|c| c.is_whitespace() || c.is_control()))
        {
            self.error(&["resource", key], "an attribute's key holds no spaces");
        }
    }

    fn names(&mut self, config: &Config) {
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        for name in config.otlp.destinations.keys() {
            let at = ["otlp", "destinations", name];
            if name == DEFAULT {
                self.error(&at, "the name belongs to [otlp] itself; write its keys there");
            } else if name.is_empty() || name.len() > 63 || !name.chars().all(known) {
                self.error(&at, "a destination's name has 1 to 63 letters, digits, \"-\" and \"_\"");
            }
        }
    }

    fn destination(&mut self, resolved: &Resolved) {
        let destination = &resolved.destination;
        let name = destination.name.as_str();
        let own: Vec<&str> = if name == DEFAULT {
            vec!["otlp"]
        } else {
            vec!["otlp", "destinations", name]
        };
        let at = |key| [own.as_slice(), &[key]].concat();
        if destination.timeout.is_zero() || destination.timeout > Duration::from_mins(10) {
            self.error(&at("timeout"), "is out of range; write 1ms to 10m");
        }
        if destination.queue_bytes == 0 {
            self.error(
                &at("queue_bytes"),
                "must be more than 0; to stop pushing write enabled = false",
            );
        }
        for (header, value) in &destination.headers {
            let at = [own.as_slice(), &["headers", header]].concat();
            if HeaderName::from_bytes(header.as_bytes()).is_err() || OWN_HEADERS.contains(&header.as_str()) {
                self.error(&at, "is not the name of a header that may be set");
            }
            if HeaderValue::from_str(value.reveal()).is_err() {
                self.error(
                    &at,
                    "the value holds a character that no header may hold, such as a line's end",
                );
            }
        }
        let tls = &destination.tls;
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            let missing = if tls.cert_file.is_some() {
                "key_file"
            } else {
                "cert_file"
            };
            let given = if tls.cert_file.is_some() {
                "cert_file"
            } else {
                "key_file"
            };
            self.error(&at(given), format!("needs {missing} beside it"));
        }
        let encrypted = destination.endpoint.scheme() == "https";
        if !encrypted && (tls.ca_file.is_some() || tls.cert_file.is_some()) {
            self.warn(
                &at("endpoint"),
                "the certificates are not used, since the endpoint is http://; write https://",
            );
        }
        self.endpoint(&at("endpoint"), resolved);
        let is_set = self.merged.iter().any(|(path, _)| *path == self::path(&at("enabled")));
        if name != DEFAULT && !resolved.enabled && !is_set {
            self.warn(
                &own,
                "gets nothing, since it inherits enabled = false from [otlp]; set enabled = true in it to push there alone",
            );
        }
    }

    fn endpoint(&mut self, at: &[&str], resolved: &Resolved) {
        let Some(endpoint) = &resolved.endpoint else { return };
        let url = &resolved.destination.endpoint;
        match resolved.destination.protocol {
            Protocol::HttpProtobuf if !endpoint.has_scheme() => {
                self.error(
                    at,
                    "needs http:// or https:// before the host with protocol http/protobuf",
                );
            }
            Protocol::Grpc if endpoint.has_path() => {
                self.warn(
                    at,
                    "gRPC has no use for a path; for OTLP over HTTP write protocol = \"http/protobuf\"",
                );
            }
            Protocol::Grpc if url.scheme() == "http" && url.port().is_none() => {
                self.warn(
                    at,
                    "means port 80, since none is given; receivers of OTLP over gRPC listen on 4317",
                );
            }
            Protocol::Grpc if url.port() == Some(4318) => {
                self.warn(
                    at,
                    "port 4318 is that of OTLP over HTTP; for it write protocol = \"http/protobuf\"",
                );
            }
            Protocol::HttpProtobuf if url.port() == Some(4317) => {
                self.warn(
                    at,
                    "port 4317 is that of OTLP over gRPC; for it write protocol = \"grpc\"",
                );
            }
            _ => {}
        }
    }

    fn duplicates(&mut self, destinations: &[Resolved]) {
        let used: Vec<&Resolved> = destinations.iter().filter(|resolved| resolved.enabled).collect();
        for (nth, resolved) in used.iter().enumerate() {
            let same = |other: &&&Resolved| {
                other.destination.endpoint == resolved.destination.endpoint
                    && other.destination.headers == resolved.destination.headers
            };
            if let Some(first) = used[..nth].iter().find(same) {
                let doubt = format!(
                    "sends to the same endpoint as {}, which then gets every point twice; set another endpoint",
                    first.destination.name
                );
                self.warn(&["otlp", "destinations", &resolved.destination.name], &doubt);
            }
        }
    }
}
