//! Finding candidates, and choosing among them.

use super::cache::MemoryCache;

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

/// The pointers at an offset of all items; nothing where one of them has none.
pub(super) fn followed<T: Copy>(cache: &mut MemoryCache<'_>, from: &[(T, u64)], at: u64) -> Option<Vec<(T, u64)>> {
    from.iter()
        .map(|(item, address)| Some((*item, cache.pointer(address + at)?)))
        .collect()
}

/// Offsets of pointers within the first `reach` bytes of all items, and offsets in the first `size` bytes behind them, in
/// steps, at which something holds for each item.
pub(super) fn behind_pointers<T: Copy>(
    cache: &mut MemoryCache<'_>,
    from: &[(T, u64)],
    reach: u64,
    (size, step): (u64, usize),
    holds: impl Fn(&mut MemoryCache<'_>, T, u64) -> bool,
) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for at in (0..reach).step_by(8) {
        let Some(targets) = followed(cache, from, at) else {
            continue;
        };
        let mut holds = |place: &u64| targets.iter().all(|(item, start)| holds(cache, *item, start + place));
        let places = (0..size).step_by(step).filter(|place| holds(place));
        found.extend(places.map(|place| (at, place)));
    }
    found
}
