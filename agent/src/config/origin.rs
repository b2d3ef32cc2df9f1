//! Origin of a value.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::headers;

/// The place at which a value is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default: not configured.
    Default,
    /// A position in the configuration file; line and column count from 1, columns in characters.
    File {
        /// The file.
        path: Arc<Path>,
        /// Its line.
        line: usize,
        /// Its column.
        column: usize,
    },
    /// The file as a whole.
    WholeFile(PathBuf),
    /// An environment variable.
    Variable(Arc<str>),
    /// `--set`, with the key as given. The value is omitted: it may be a secret.
    Flag(Arc<str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(key) => write!(f, "--set {}", headers::shown(key)),
        }
    }
}
