//! A resolved destination: defaults, inheritance and environment variables are applied already.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::words;
use url::Url;

use crate::Proxy;

/// One receiver of OTLP metrics.
#[derive(Clone, PartialEq)]
pub struct Destination {
    /// Its name: `default` for `[otlp]` itself.
    pub name: String,
    /// The URL that requests go to: for gRPC scheme, host and port; for HTTP the whole path.
    pub endpoint: Url,
    /// Transport and encoding.
    pub protocol: Protocol,
    /// Sent with each request, in order.
    pub headers: Vec<(String, Secret)>,
    /// File with more headers, one `name: value` a line, read again after a refusal.
    pub headers_file: Option<PathBuf>,
    /// Compression of the request body.
    pub compression: Compression,
    /// Timeout of one request, from its start to its response.
    pub timeout: Duration,
    /// Bound of the queue in bytes, uncompressed; when it is reached the oldest records are dropped.
    pub queue_bytes: u64,
    /// Files for TLS, in PEM.
    pub tls: TlsFiles,
    /// The proxy through which it is reached, if any.
    pub proxy: Option<Proxy>,
}

impl Destination {
    /// The endpoint as a person may see it: without its query, which may hold a key, and without user and password.
    pub fn shown_endpoint(&self) -> String {
        shown(&self.endpoint)
    }

    /// Whether a proxy reads its requests and sends them on, instead of passing on bytes.
    pub(super) fn is_forwarded(&self) -> bool {
        self.proxy.is_some() && self.protocol == Protocol::HttpProtobuf && self.endpoint.scheme() == "http"
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("endpoint", &self.shown_endpoint())
            .field("protocol", &self.protocol)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// A URL without what may be secret in it: user, password and query.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Only a URL without a host refuses these, and it has neither.
    shown.set_username("").ok();
    shown.set_password(None).ok();
    shown.set_query(None);
    shown.set_fragment(None);
    let hidden = if url.query().is_some() { "?…" } else { "" };
    format!("{shown}{hidden}")
}

/// Transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Protobuf over HTTP POST.
    HttpProtobuf,
}

words!(Protocol, "\"grpc\" or \"http/protobuf\"", "grpc" => Protocol::Grpc, "http/protobuf" => Protocol::HttpProtobuf);

/// Compression of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Uncompressed.
    None,
    /// gzip, which every OTLP server must accept.
    Gzip,
}

words!(Compression, "\"gzip\" or \"none\"", "gzip" => Compression::Gzip, "none" => Compression::None);

/// PEM files for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Certificate chain of the client.
    pub cert_file: Option<PathBuf>,
    /// Private key of the client.
    pub key_file: Option<PathBuf>,
}

/// Text that never appears in a log or an error message.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
