//! Validation of settings beyond what their types refuse.

use std::path::Path;
use std::time::Duration;

use crate::source::Sources;

/// What follows from a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted, and this is logged.
    Warning,
}

/// A value that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it is refused.
    pub severity: Severity,
    /// The key within its section.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// Collects what is wrong with a section's values.
#[derive(Debug)]
pub struct Check {
    /// The sources that are built in.
    pub sources: Sources,
    problems: Vec<Problem>,
}

impl Check {
    /// No problem yet.
    pub const fn new(sources: Sources) -> Self {
        Self {
            sources,
            problems: Vec::new(),
        }
    }

    /// Every problem, in order.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The value of `key` is refused.
    pub fn error(&mut self, key: &'static str, problem: impl Into<String>) {
        self.push(Severity::Error, key, problem.into());
    }

    /// The value of `key` is allowed and probably not meant.
    pub fn warn(&mut self, key: &'static str, problem: impl Into<String>) {
        self.push(Severity::Warning, key, problem.into());
    }

    /// Refuses a duration out of range, bounds included.
    pub fn between(&mut self, key: &'static str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let show = humantime::format_duration;
            self.error(
                key,
                format!(
                    "{} is out of range; write {} to {}",
                    show(value),
                    show(least),
                    show(most)
                ),
            );
        }
    }

    /// Refuses a relative path.
    pub fn absolute(&mut self, key: &'static str, value: &Path) {
        if !value.is_absolute() {
            let shown = value.display().to_string();
            self.error(key, format!("{shown:?} is not an absolute path; begin it with /"));
        }
    }

    fn push(&mut self, severity: Severity, key: &'static str, problem: String) {
        self.problems.push(Problem { severity, key, problem });
    }
}
