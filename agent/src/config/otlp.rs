//! `[otlp]` and the destinations that inherit from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderName, HeaderValue};

use super::Config;
use super::endpoint::Endpoint;
use super::layers::{Layer, Leaf, Merged, Raw};
use super::proxy::Route;
use super::values::secrets;
use accelscope_core::settings;
use accelscope_core::settings::Check;
use accelscope_core::settings::textual::{optional, text};
use accelscope_export::otlp::{Compression, Destination, Protocol, Secret, TlsFiles, unexpanded};

/// Name of the destination of `[otlp]` itself.
pub(super) const DEFAULT: &str = "default";

/// Headers that the sender sets itself.
const OWN_HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "host",
    "te",
];

settings! {
    /// Pushing over OTLP: `[otlp]`, or a destination with what it inherits from there.
    pub struct Otlp {
        /// Bool: whether to push there.
        pub enabled: bool = true,
        /// URL of the receiver. "" means http://localhost:4317 for gRPC and http://localhost:4318 for HTTP. Over HTTP it is a base
        /// to which /v1/metrics is appended, unless it ends so already.
        /// OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_EXPORTER_OTLP_METRICS_ENDPOINT (over HTTP used as it is)
        #[serde(with = "optional")]
        pub endpoint: Option<Endpoint> = None,
        /// "grpc" or "http/protobuf".
        /// OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_METRICS_PROTOCOL
        #[serde(with = "text")]
        pub protocol: Protocol = Protocol::Grpc,
        /// Duration, 100ms to 1h: time between two collections, the same for all destinations.
        /// OTEL_METRIC_EXPORT_INTERVAL, in milliseconds
        #[serde(with = "text")]
        pub interval: Duration = Duration::from_secs(10),
        /// "gzip" or "none".
        /// OTEL_EXPORTER_OTLP_COMPRESSION, OTEL_EXPORTER_OTLP_METRICS_COMPRESSION
        #[serde(with = "text")]
        pub compression: Compression = Compression::Gzip,
        /// Duration, up to 10m: for one request until its answer.
        /// OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, in milliseconds
        #[serde(with = "text")]
        pub timeout: Duration = Duration::from_secs(10),
        /// Size: what may wait in memory while the receiver is away. When it is full the oldest goes first, and is counted.
        #[serde(with = "text")]
        pub queue_bytes: ByteSize = ByteSize::mib(16),
        /// Bool: whether a gRPC endpoint without "http://" or "https://" is spoken to without TLS.
        /// OTEL_EXPORTER_OTLP_INSECURE, OTEL_EXPORTER_OTLP_METRICS_INSECURE
        pub insecure: bool = false,
        /// Path: a file with headers, one "name: value" a line, read again when credentials are refused. The place for secrets.
        #[serde(with = "optional")]
        pub headers_file: Option<PathBuf> = None,
        /// Path: certificates to trust instead of the system's (PEM).
        /// OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE
        #[serde(with = "optional")]
        pub ca_file: Option<PathBuf> = None,
        /// Path: the agent's own certificate chain (PEM); with key_file.
        /// OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE
        #[serde(with = "optional")]
        pub cert_file: Option<PathBuf> = None,
        /// Path: its key (PEM).
        /// OTEL_EXPORTER_OTLP_CLIENT_KEY, OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY
        #[serde(with = "optional")]
        pub key_file: Option<PathBuf> = None,
        /// Headers of each request, text by name. Their values are shown in no log.
        /// In the environment all at once, replacing those of weaker sources: ACCELSCOPE__OTLP__HEADERS="name=value,name=value"
        /// (percent-encoded), or one of them: ACCELSCOPE__OTLP__HEADERS__X_SCOPE_ORGID=team ("_" stands for "-").
        /// OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_METRICS_HEADERS
        ///
        /// x-scope-orgid = "team"
        #[table(Open)]
        #[serde(skip_serializing, deserialize_with = "secrets")]
        pub headers: BTreeMap<String, Secret> = BTreeMap::new(),
        /// Further destinations, each under a name of letters, digits, "-" and "_". Each has its own queue and sender, and inherits
        /// every key that it does not set from `[otlp]`, the headers as a whole: write headers = {} if this receiver must not get
        /// the default's credentials, and "" for a file that it must not use. OpenTelemetry's variables speak of `[otlp]` alone.
        /// In the environment: ACCELSCOPE__OTLP__DESTINATIONS__EDGE__ENDPOINT
        ///
        /// ```toml
        /// [otlp.destinations.edge]
        /// enabled = true
        /// endpoint = "https://collector.example:4318"
        /// protocol = "http/protobuf"
        /// compression = "gzip"
        /// timeout = "5s"
        /// queue_bytes = "64MiB"
        /// insecure = false
        /// headers = { authorization = "Bearer ..." }
        /// headers_file = "/etc/accelscope/edge.headers"
        /// ca_file = "/etc/accelscope/edge-ca.pem"
        /// cert_file = ""
        /// key_file = ""
        /// ```
        #[table(Heirs(&["interval"]))]
        #[serde(skip)]
        pub destinations: BTreeMap<String, Otlp> = BTreeMap::new(),

        #[internal]
        /// The variable that disables push independently of the keys, if any.
        pub stopped_by: Option<String>,
    }
}

impl Config {
    /// Destinations with all settings inherited and resolved: `default` first, then by name. Empty if push is off.
    pub fn destinations(&self) -> Vec<Destination> {
        if self.otlp.stopped_by.is_some() {
            return Vec::new();
        }
        let enabled = self.otlp.all().filter(|(_, otlp)| otlp.enabled);
        let resolved = enabled.map(|(name, otlp)| {
            let mut destination = otlp.destination(name);
            if let Route::Through(proxy) = self.proxies.route(&destination.endpoint) {
                destination.proxy = Some(proxy.clone());
            }
            destination
        });
        resolved.collect()
    }
}

impl Otlp {
    /// This section itself under the name `default`, then its destinations.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Self)> {
        let others = self.destinations.iter().map(|(name, otlp)| (name.as_str(), otlp));
        std::iter::once((DEFAULT, self)).chain(others)
    }

    pub(super) fn destination(&self, name: &str) -> Destination {
        let headers = self.headers.iter();
        Destination {
            name: name.to_owned(),
            endpoint: match &self.endpoint {
                Some(endpoint) => endpoint.resolve(self.protocol, self.insecure),
                None => Endpoint::default_for(self.protocol),
            },
            protocol: self.protocol,
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
            headers_file: self.headers_file.clone(),
            compression: self.compression,
            timeout: self.timeout,
            queue_bytes: self.queue_bytes.0,
            tls: TlsFiles {
                ca_file: self.ca_file.clone(),
                cert_file: self.cert_file.clone(),
                key_file: self.key_file.clone(),
            },
            proxy: None,
        }
    }

    pub(super) fn validate(&self, check: &mut Check) {
        check.between(
            "interval",
            self.interval,
            Duration::from_millis(100),
            Duration::from_hours(1),
        );
        if self.timeout.is_zero() || self.timeout > Duration::from_mins(10) {
            check.error("timeout", "is out of range; write 1ms to 10m");
        }
        if self.queue_bytes.0 == 0 {
            check.error(
                "queue_bytes",
                "must be more than 0; to stop pushing write enabled = false",
            );
        }
        for (name, value) in &self.headers {
            let key = format!("headers.{name}");
            let lower = name.to_ascii_lowercase();
            if HeaderName::from_bytes(lower.as_bytes()).is_err() || OWN_HEADERS.contains(&lower.as_str()) {
                check.error(&key, "is not the name of a header that may be set; write the name before the value: authorization = \"Bearer ...\"");
            }
            if let Some(problem) = unexpanded(value.reveal()) {
                check.error(&key, problem);
            }
            if HeaderValue::from_str(value.reveal()).is_err() {
                check.error(
                    &key,
                    "the value holds a character that no header may hold, such as a line's end",
                );
            }
        }
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => check.error("cert_file", "needs key_file beside it"),
            (None, Some(_)) => check.error("key_file", "needs cert_file beside it"),
            _ => {}
        }
        if let Some(endpoint) = &self.endpoint {
            self.validate_endpoint(endpoint, check);
        }
        let has_certificates = self.ca_file.is_some() || self.cert_file.is_some();
        if has_certificates && self.destination("").endpoint.scheme() != "https" {
            check.warn(
                "endpoint",
                "the certificates are not used, since the endpoint is http://; write https://",
            );
        }
    }

    fn validate_endpoint(&self, endpoint: &Endpoint, check: &mut Check) {
        let url = endpoint.resolve(self.protocol, self.insecure);
        let parts = [url.host_str().unwrap_or_default(), url.path()];
        if let Some(problem) = parts.into_iter().find_map(unexpanded) {
            check.error("endpoint", problem);
        }
        match (self.protocol, url.port()) {
            (Protocol::HttpProtobuf, _) if !endpoint.has_scheme() => check.error(
                "endpoint",
                "needs http:// or https:// before the host with protocol http/protobuf",
            ),
            (Protocol::Grpc, _) if endpoint.has_path() => check.warn(
                "endpoint",
                "gRPC has no use for a path or a query; for OTLP over HTTP write protocol = \"http/protobuf\"",
            ),
            (Protocol::Grpc, None) if url.scheme() == "http" => check.warn(
                "endpoint",
                "means port 80, since none is given; receivers of OTLP over gRPC listen on 4317",
            ),
            (Protocol::Grpc, Some(4318)) => check.warn(
                "endpoint",
                "port 4318 is that of OTLP over HTTP; for it write protocol = \"http/protobuf\"",
            ),
            (Protocol::HttpProtobuf, Some(4317)) => check.warn(
                "endpoint",
                "port 4317 is that of OTLP over gRPC; for it write protocol = \"grpc\"",
            ),
            _ => {}
        }
    }
}

/// The key of the destination of that name.
pub(crate) fn destination_key(name: &str, key: &str) -> String {
    if name == DEFAULT {
        format!("otlp.{key}")
    } else {
        format!("otlp.destinations.{name}.{key}")
    }
}

/// Whether destinations inherit a key of `[otlp]`.
fn is_inherited(key: &str) -> bool {
    !["interval", "destinations"].contains(&key)
}

/// Gives each destination what it does not set of `[otlp]`, with its origin, and returns their names.
pub(super) fn inherit(merged: &mut Merged) -> Vec<String> {
    let destinations = ["otlp", "destinations"].map(str::to_owned);
    let mut names: Vec<String> = merged.names_under(&destinations).map(str::to_owned).collect();
    names.dedup();
    let of_otlp: Layer = merged
        .iter()
        .filter(|(path, _)| matches!(path.as_slice(), [section, key, ..] if section == "otlp" && is_inherited(key)))
        .map(|(path, leaf)| (path[1..].to_vec(), leaf.clone()))
        .collect();
    for name in &names {
        let place = [destinations.as_slice(), std::slice::from_ref(name)].concat();
        let own = |key: &str| [place.as_slice(), &[key.to_owned()]].concat();
        for key in ["endpoint", "protocol", "compression", "timeout", "queue_bytes"] {
            if matches!(merged.get(&own(key)), Some(Raw::Text(text) | Raw::Str(text)) if text.trim().is_empty()) {
                merged.remove(&own(key));
            }
        }
        // What is wrong with the destination as a whole comes from where it is configured, not from what it inherits.
        let origin = merged.origin(&place);
        let set: BTreeSet<String> = merged.names_under(&place).map(str::to_owned).collect();
        merged.add(place.clone(), Leaf::new(Raw::Table, origin));
        for (below, leaf) in &of_otlp {
            if !set.contains(&below[0]) {
                merged.add([place.as_slice(), below].concat(), leaf.clone());
            }
        }
    }
    names
}
