//! Readings that give no point, counted by reason.

use std::collections::BTreeMap;

/// Value of the attribute `agent.reason`.
pub(super) type Reason = &'static str;

/// The writer marks the value as unknown.
pub(super) const NO_SAMPLE: Reason = "no_sample";
/// Not finite, or of a size that no device reaches.
pub(super) const IMPLAUSIBLE: Reason = "implausible";
/// The element has no name: HailoRT inserts such phantoms for handles that it does not know.
pub(super) const UNNAMED: Reason = "unnamed";
/// The name occurs again in the same file; its values were combined.
pub(super) const REPEATED: Reason = "repeated_name";

/// The file's user has used up what may be read of its files now: it is read later.
pub(super) const DEFERRED: Reason = "deferred";
/// The name is beyond the new ones of the file's user that are taken now.
pub(super) const TOO_MANY_NEW: Reason = "too_many_new";

/// All reasons.
pub(super) const ALL: [Reason; 15] = [
    DEFERRED,
    TOO_MANY_NEW,
    NO_SAMPLE,
    IMPLAUSIBLE,
    UNNAMED,
    REPEATED,
    "malformed",
    "no_pid",
    "not_a_file",
    "too_large",
    "too_many_elements",
    "too_many_files",
    "unreadable",
    "writer_ended",
    "writer_unseen",
];

/// Number of readings without a point, by reason.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Skipped(pub(super) BTreeMap<Reason, u64>);

impl Skipped {
    pub(super) fn add(&mut self, reason: impl Into<Option<Reason>>) {
        if let Some(reason) = reason.into() {
            self.add_many(reason, 1);
        }
    }

    pub(super) fn add_many(&mut self, reason: Reason, count: usize) {
        debug_assert!(ALL.contains(&reason), "{reason} is not in the list");
        if count > 0 {
            *self.0.entry(reason).or_default() += count as u64;
        }
    }

    /// Adds what another has counted.
    pub(super) fn append(&mut self, other: Self) {
        for (reason, count) in other.0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    /// The value, or `None` after counting why there is none.
    pub(super) fn keep<T>(&mut self, value: Result<T, Reason>) -> Option<T> {
        value.map_err(|reason| self.add(reason)).ok()
    }
}
