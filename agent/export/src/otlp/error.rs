//! Why a destination cannot be used as it is configured.

use std::io;
use std::path::PathBuf;

/// A destination that cannot work, found before the first request. Each names the destination and what to mend.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Two destinations share a name, and nobody could tell their metrics apart.
    #[error("OTLP destination \"{name}\" is there twice; give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The endpoint cannot be requested.
    #[error("OTLP destination \"{destination}\": endpoint {problem}")]
    Endpoint {
        /// Which destination.
        destination: String,
        /// What is wrong with it and how to mend it; never its user or password.
        problem: String,
    },
    /// A header's name or value is not allowed in HTTP.
    #[error("OTLP destination \"{destination}\": header \"{name}\" has {problem}")]
    Header {
        /// Which destination.
        destination: String,
        /// The header's name.
        name: String,
        /// What is wrong; never the value.
        problem: &'static str,
    },
    /// A line of the headers file has no colon.
    #[error("OTLP destination \"{destination}\": {path} line {line}: expected `name: value`", path = .path.display())]
    HeadersLine {
        /// Which destination.
        destination: String,
        /// The headers file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A file cannot be read.
    #[error("OTLP destination \"{destination}\": cannot read {what} {path}", path = .path.display())]
    File {
        /// Which destination.
        destination: String,
        /// The configuration key that names the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A TLS file holds something else than it should.
    #[error("OTLP destination \"{destination}\": {problem}")]
    Tls {
        /// Which destination.
        destination: String,
        /// What is wrong, the file included.
        problem: String,
        /// The cause, where a library gave one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}
