//! Errors in the configuration of a destination.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use super::destination::Destination;

/// An unusable destination, found before the first request. The message names the destination and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Two destinations share a name, so that their metrics could not be distinguished.
    #[error("OTLP destination \"{name}\" is there twice; give one of them another name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A setting, or the content of a file that it names, is invalid.
    #[error("OTLP destination \"{destination}\": {problem}")]
    Invalid {
        /// Name of the destination.
        destination: String,
        /// The fault, without user, password and header values.
        problem: String,
        /// The cause, where a library gave one.
        source: Option<Box<dyn Error + Send + Sync>>,
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
}

impl BuildError {
    /// Whether it stays until somebody changes the configuration: a file that is absent may be mounted later.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::DuplicateName { .. } | Self::Invalid { .. } => true,
            Self::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge)
            }
        }
    }

    pub(super) fn invalid(destination: &Destination, problem: impl Into<String>) -> Self {
        Self::Invalid {
            destination: destination.name.clone(),
            problem: problem.into(),
            source: None,
        }
    }

    pub(super) fn file(destination: &Destination, what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            destination: destination.name.clone(),
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn caused_by(
        error: impl Into<Box<dyn Error + Send + Sync>>,
        destination: &Destination,
        problem: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            destination: destination.name.clone(),
            problem: problem.into(),
            source: Some(error.into()),
        }
    }
}
