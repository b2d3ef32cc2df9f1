//! `agent doctor`: what was found, what is missing, and how to mend it.

mod accelerators;
mod checks;

use std::fmt;

use serde::Serialize;

pub use accelerators::{is_told_while_running, while_running};
pub use checks::examine;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// There is nothing of the kind here, which is a fault only where there should be.
    None,
    /// Something is missing that the main job can do without.
    Warn,
    /// The main job cannot run.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What was looked at: a section of the configuration, or the host.
    pub about: &'static str,
    /// What is so.
    pub what: String,
    /// How to mend it; empty where nothing is to be mended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            about,
            what: what.into(),
            remedy: String::new(),
        }
    }

    /// Nothing of the kind is here.
    pub fn none(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::None,
            about,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Missing, but not needed for the main job.
    pub fn warn(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            about,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The main job cannot run.
    pub fn fail(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            about,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok  ",
            Level::None => "-   ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level}  {}: {}", self.about, one_line(&self.what))?;
        if self.remedy.is_empty() {
            Ok(())
        } else {
            write!(f, " -> {}", one_line(&self.remedy))
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Whether the main job can run.
pub fn can_run(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level != Level::Fail)
}
