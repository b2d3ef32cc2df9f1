//! Where to send, fully resolved: defaults, inheritance and environment are behind us here.

use accelscope_core::words;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One receiver of OTLP metrics.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its name: `default` for `[otlp]` itself.
    pub name: String,
    /// The URL that requests go to: for gRPC scheme, host and port; for HTTP the whole path.
    pub endpoint: url::Url,
    /// How it speaks.
    pub protocol: Protocol,
    /// Sent with each request, in order.
    pub headers: Vec<(String, Secret)>,
    /// A file with more headers, one `name: value` a line, read again whenever credentials are refused.
    pub headers_file: Option<PathBuf>,
    /// Of the request body.
    pub compression: Compression,
    /// For one request, from its start to its answer.
    pub timeout: Duration,
    /// Bytes of records, uncompressed, that may wait; the oldest go first when it is reached.
    pub queue_bytes: u64,
    /// Files for TLS, each in PEM.
    pub tls: TlsFiles,
}

/// OTLP's transports.
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
    /// As they are.
    None,
    /// gzip, which every OTLP server must take.
    Gzip,
}

words!(Compression, "\"gzip\" or \"none\"", "gzip" => Compression::Gzip, "none" => Compression::None);

/// PEM files for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate chain.
    pub cert_file: Option<PathBuf>,
    /// The client's own key.
    pub key_file: Option<PathBuf>,
}

/// Text that no log or error message may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
