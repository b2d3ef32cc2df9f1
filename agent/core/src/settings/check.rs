//! Validation of settings beyond their types.

use std::path::Path;
use std::time::Duration;

use crate::source::Sources;

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted, and the problem is logged.
    Warning,
}

/// An invalid or doubtful value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Severity.
    pub severity: Severity,
    /// The key within its section.
    pub key: &'static str,
    /// The problem, and what would be valid.
    pub problem: String,
}

/// Collects problems of a section's values.
#[derive(Debug)]
pub struct Check {
    /// Names of the built-in sources.
    pub sources: Sources,
    problems: Vec<Problem>,
}

impl Check {
    /// Creates a collector without problems.
    pub const fn new(sources: Sources) -> Self {
        Self {
            sources,
            problems: Vec::new(),
        }
    }

    /// All problems, in order.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Reports an invalid value of `key`.
    pub fn error(&mut self, key: &'static str, problem: impl Into<String>) {
        self.push(Severity::Error, key, problem.into());
    }

    /// Reports a value of `key` that is valid and probably a mistake.
    pub fn warn(&mut self, key: &'static str, problem: impl Into<String>) {
        self.push(Severity::Warning, key, problem.into());
    }

    /// Reports a duration out of range; the bounds are valid.
    pub fn between(&mut self, key: &'static str, value: Duration, least: Duration, most: Duration) {
        if let Some(problem) = out_of_range(value, least, most) {
            self.error(key, problem);
        }
    }

    /// Reports a relative path.
    pub fn absolute(&mut self, key: &'static str, value: &Path) {
        if let Some(problem) = not_absolute(value) {
            self.error(key, problem);
        }
    }

    fn push(&mut self, severity: Severity, key: &'static str, problem: String) {
        self.problems.push(Problem { severity, key, problem });
    }
}

/// The problem with a duration outside these bounds, which are included.
pub fn out_of_range(value: Duration, least: Duration, most: Duration) -> Option<String> {
    let show = humantime::format_duration;
    (value < least || value > most).then(|| {
        format!(
            "{} is out of range; write {} to {}",
            show(value),
            show(least),
            show(most)
        )
    })
}

/// The problem with a relative path.
pub fn not_absolute(path: &Path) -> Option<String> {
    let shown = path.display().to_string();
    (!path.is_absolute()).then(|| format!("{shown:?} is not an absolute path; begin it with /"))
}
