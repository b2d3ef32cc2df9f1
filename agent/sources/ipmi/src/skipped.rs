//! What gave no point, by reason (`agent.sampler.skipped`).

use std::collections::BTreeMap;

use crate::bmc::CallError;

/// Counts by reason. There are as many reasons as completion codes and a few words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Skipped(pub(crate) BTreeMap<String, u64>);

impl Skipped {
    pub(crate) fn add(&mut self, reason: &str) {
        *self.0.entry(reason.to_owned()).or_default() += 1;
    }

    /// Counts a command that failed; not one that the BMC does not have.
    pub(crate) fn error(&mut self, error: &CallError) {
        if let Some(reason) = error.reason() {
            self.add(&reason);
        }
    }
}
