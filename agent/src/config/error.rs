//! Errors in a configuration, with their place and their remedy.

use accelscope_core::printable::printable;

use super::{Origin, headers};

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {}{}{problem}", headers::shown(key), if key.is_empty() { "" } else { ": " })]
pub struct ConfigError {
    /// Place of the value.
    pub origin: Origin,
    /// Key in the syntax of `--set`; empty if the error concerns no single key.
    pub key: String,
    /// The problem, and what would be valid.
    pub problem: String,
}

/// All errors, one per line and each printable; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|error| printable(&error.to_string())).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);
