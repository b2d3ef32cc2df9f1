//! Validation of settings beyond their types.

use std::path::Path;
use std::time::Duration;

use crate::source::Sources;

/// Key within the section, after a dot the one in its table, and what is wrong with its value.
pub type Problem = (String, String);

/// Collects problems of a section's values.
#[derive(Debug)]
pub struct Check {
    /// Names of the built-in sources.
    pub sources: Sources,
    /// For these the configuration is refused.
    pub errors: Vec<Problem>,
    /// These are logged.
    pub warnings: Vec<Problem>,
}

impl Check {
    /// Creates a collector without problems.
    pub const fn new(sources: Sources) -> Self {
        Self {
            sources,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reports an invalid value of `key`.
    pub fn error(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.errors.push((key.into(), problem.into()));
    }

    /// Reports a value of `key` that is valid and probably a mistake.
    pub fn warn(&mut self, key: impl Into<String>, problem: impl Into<String>) {
        self.warnings.push((key.into(), problem.into()));
    }

    /// Reports a duration out of range; the bounds are valid.
    pub fn between(&mut self, key: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(humantime::format_duration);
            self.error(key, format!("{value} is out of range; write {least} to {most}"));
        }
    }

    /// Reports a relative path.
    pub fn absolute(&mut self, key: &str, value: &Path) {
        if !value.is_absolute() {
            let shown = value.display().to_string();
            self.error(key, format!("{shown:?} is not an absolute path; begin it with /"));
        }
    }
}
