//! Choosing among candidates.

/// Bytes of a `task_struct` that are searched; with all options enabled it has about 14,000. After a smaller one follow
/// other tasks, which is why candidates [nearest to the start](nearest_to_start) are preferred.
pub(super) const TASK: u64 = 16 << 10;

/// The only candidate; nothing where several differ.
pub(super) fn unique<T: PartialEq>(found: impl IntoIterator<Item = T>) -> Option<T> {
    let mut found = found.into_iter();
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The only one of those candidates that begin nearest to the start of the task.
pub(super) fn nearest_to_start<T: PartialEq>(found: Vec<T>, at: impl Fn(&T) -> u64) -> Option<T> {
    let first = found.iter().map(&at).min()?;
    unique(found.into_iter().filter(|candidate| at(candidate) == first))
}
