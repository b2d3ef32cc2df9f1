//! Errors in the configuration of a destination.

use std::io;
use std::path::PathBuf;

/// An unusable destination, found before the first request. The message names the destination and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Two destinations share a name, so that their metrics could not be distinguished.
    #[error("OTLP destination \"{name}\" is there twice; give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The endpoint is invalid.
    #[error("OTLP destination \"{destination}\": endpoint {problem}")]
    Endpoint {
        /// Name of the destination.
        destination: String,
        /// The fault and its remedy, without user or password.
        problem: String,
    },
    /// The name or value of a header is not allowed in HTTP.
    #[error("OTLP destination \"{destination}\": header \"{name}\" has {problem}")]
    Header {
        /// Name of the destination.
        destination: String,
        /// The header's name.
        name: String,
        /// The fault, without the value.
        problem: &'static str,
    },
    /// A line of the headers file has no colon.
    #[error("OTLP destination \"{destination}\": {path} line {line}: expected `name: value`", path = .path.display())]
    HeadersLine {
        /// Name of the destination.
        destination: String,
        /// The headers file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
    },
    /// A file cannot be read.
    #[error("OTLP destination \"{destination}\": cannot read {what} {path}", path = .path.display())]
    File {
        /// Name of the destination.
        destination: String,
        /// The configuration key that names the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The content of a TLS file is invalid.
    #[error("OTLP destination \"{destination}\": {problem}")]
    Tls {
        /// Name of the destination.
        destination: String,
        /// The fault, with the file's key.
        problem: String,
        /// The cause, where a library gave one.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}
