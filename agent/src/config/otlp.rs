//! `[otlp]` and the destinations that inherit from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::Config;
use super::endpoint::Endpoint;
use super::values::{optional_secrets, secrets};
use accelscope_core::settings::textual::{optional, text};
use accelscope_export::otlp::{Compression, Destination, Protocol, Secret, TlsFiles};

/// Name of the destination of `[otlp]` itself.
pub(super) const DEFAULT: &str = "default";

/// Pushing over OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Otlp {
    /// Whether `[otlp]` itself is a destination.
    pub enabled: bool,
    /// Endpoint; the protocol's port on localhost if absent.
    #[serde(with = "optional")]
    pub endpoint: Option<Endpoint>,
    /// Protocol.
    #[serde(with = "text")]
    pub protocol: Protocol,
    /// Time between two collections, for all destinations.
    #[serde(with = "text")]
    pub interval: Duration,
    /// Compression of request bodies.
    #[serde(with = "text")]
    pub compression: Compression,
    /// Time limit of one request.
    #[serde(with = "text")]
    pub timeout: Duration,
    /// Bound of the queue in memory, in bytes.
    #[serde(with = "text")]
    pub queue_bytes: ByteSize,
    /// Whether an endpoint without scheme is used without TLS (gRPC).
    pub insecure: bool,
    /// Headers of each request.
    #[serde(with = "secrets")]
    pub headers: BTreeMap<String, Secret>,
    /// File with further headers.
    #[serde(with = "optional")]
    pub headers_file: Option<PathBuf>,
    /// Trusted certificates instead of the system's, PEM.
    #[serde(with = "optional")]
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain, PEM.
    #[serde(with = "optional")]
    pub cert_file: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    #[serde(with = "optional")]
    pub key_file: Option<PathBuf>,
    /// `[otlp.destinations.<name>]`
    pub destinations: BTreeMap<String, DestinationKeys>,
    /// The variable that disables push independently of the keys, if any.
    #[serde(skip)]
    pub stopped_by: Option<String>,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: None,
            protocol: Protocol::Grpc,
            interval: Duration::from_secs(10),
            compression: Compression::Gzip,
            timeout: Duration::from_secs(10),
            queue_bytes: ByteSize::mib(16),
            insecure: false,
            headers: BTreeMap::new(),
            headers_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            destinations: BTreeMap::new(),
            stopped_by: None,
        }
    }
}

/// Settings of a further destination; absent ones are inherited from `[otlp]`.
///
/// An empty path means none, while an absent one is inherited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationKeys {
    /// See [`Otlp::enabled`].
    pub enabled: Option<bool>,
    /// See [`Otlp::endpoint`].
    #[serde(with = "optional")]
    pub endpoint: Option<Endpoint>,
    /// See [`Otlp::protocol`].
    #[serde(with = "optional")]
    pub protocol: Option<Protocol>,
    /// See [`Otlp::compression`].
    #[serde(with = "optional")]
    pub compression: Option<Compression>,
    /// See [`Otlp::timeout`].
    #[serde(with = "optional")]
    pub timeout: Option<Duration>,
    /// See [`Otlp::queue_bytes`].
    #[serde(with = "optional")]
    pub queue_bytes: Option<ByteSize>,
    /// See [`Otlp::insecure`].
    pub insecure: Option<bool>,
    /// Replaces [`Otlp::headers`] as a whole.
    #[serde(with = "optional_secrets")]
    pub headers: Option<BTreeMap<String, Secret>>,
    /// See [`Otlp::headers_file`].
    pub headers_file: Option<PathBuf>,
    /// See [`Otlp::ca_file`].
    pub ca_file: Option<PathBuf>,
    /// See [`Otlp::cert_file`].
    pub cert_file: Option<PathBuf>,
    /// See [`Otlp::key_file`].
    pub key_file: Option<PathBuf>,
}

/// A destination with inherited settings, before it is known whether it is enabled.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) enabled: bool,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) destination: Destination,
}

impl Config {
    /// Destinations with all settings inherited and resolved: `default` first, then by name. Empty if push is off.
    pub fn destinations(&self) -> Vec<Destination> {
        if self.otlp.stopped_by.is_some() {
            return Vec::new();
        }
        self.resolved_destinations()
            .into_iter()
            .filter(|resolved| resolved.enabled)
            .map(|resolved| resolved.destination)
            .collect()
    }

    pub(super) fn resolved_destinations(&self) -> Vec<Resolved> {
        let own = DestinationKeys::default();
        std::iter::once((DEFAULT, &own))
            .chain(self.otlp.destinations.iter().map(|(name, keys)| (name.as_str(), keys)))
            .map(|(name, keys)| self.otlp.resolve(name, keys))
            .collect()
    }
}

impl Otlp {
    fn resolve(&self, name: &str, keys: &DestinationKeys) -> Resolved {
        let protocol = keys.protocol.unwrap_or(self.protocol);
        let endpoint = keys.endpoint.as_ref().or(self.endpoint.as_ref());
        let insecure = keys.insecure.unwrap_or(self.insecure);
        let headers = keys.headers.as_ref().unwrap_or(&self.headers);
        let destination = Destination {
            name: name.to_owned(),
            endpoint: endpoint.map_or_else(
                || Endpoint::default_for(protocol),
                |endpoint| endpoint.resolve(protocol, insecure),
            ),
            protocol,
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
            headers_file: file(keys.headers_file.as_ref(), self.headers_file.as_ref()),
            compression: keys.compression.unwrap_or(self.compression),
            timeout: keys.timeout.unwrap_or(self.timeout),
            queue_bytes: keys.queue_bytes.unwrap_or(self.queue_bytes).0,
            tls: TlsFiles {
                ca_file: file(keys.ca_file.as_ref(), self.ca_file.as_ref()),
                cert_file: file(keys.cert_file.as_ref(), self.cert_file.as_ref()),
                key_file: file(keys.key_file.as_ref(), self.key_file.as_ref()),
            },
        };
        Resolved {
            enabled: keys.enabled.unwrap_or(self.enabled),
            endpoint: endpoint.cloned(),
            destination,
        }
    }
}

fn file(own: Option<&PathBuf>, inherited: Option<&PathBuf>) -> Option<PathBuf> {
    own.or(inherited).filter(|path| !path.as_os_str().is_empty()).cloned()
}
