//! What `explain` and `agent doctor` find out: why something is missing, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::printable::printable;

/// Severity of a [`Finding`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// There is nothing of the kind on this host, which is a fault only where there should be.
    #[serde(rename = "none")]
    Nothing,
    /// Something is missing that the agent can do without.
    Warn,
    /// Nothing of what is there can be read, or the agent cannot do its job.
    Fail,
}

/// Result of one check, by a source's `explain` or by `agent doctor` itself. Shown by `agent doctor` and under the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Severity.
    pub level: Level,
    /// Subject of the check: a section of the configuration, or the host.
    pub about: &'static str,
    /// What was found. A process is `process 4711`, by its id in the host's `/proc`, or `process 4711 (python3)`, with the name
    /// of its executable: `agent doctor` adds that, and its pod or container.
    pub what: String,
    /// What to do about it, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding without a remedy.
    pub fn new(level: Level, about: &'static str, what: impl Into<String>) -> Self {
        Self {
            level,
            about,
            what: what.into(),
            remedy: None,
        }
    }

    /// Of [`Level::Ok`].
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Ok, about, what)
    }

    /// Of [`Level::Nothing`].
    pub fn nothing(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Nothing, about, what)
    }

    /// Of [`Level::Warn`].
    pub fn warn(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Warn, about, what)
    }

    /// Of [`Level::Fail`].
    pub fn fail(about: &'static str, what: impl Into<String>) -> Self {
        Self::new(Level::Fail, about, what)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    /// One line of `agent doctor`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok  ",
            Level::Nothing => "-   ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level}  {}: {}", self.about, printable(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, " -> {}", printable(remedy)),
            None => Ok(()),
        }
    }
}
