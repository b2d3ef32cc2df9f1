//! Bound of a cache.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::Instant;

/// Makes room for one more entry: once `map` has `most` entries, removes the quarter that was used longest ago. To
/// remove many at once makes the search for the oldest rare.
pub fn evict_oldest<K: Eq + Hash, V, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    most: usize,
    used: impl Fn(&V) -> Instant,
) {
    if map.len() < most {
        return;
    }
    let mut times: Vec<Instant> = map.values().map(&used).collect();
    times.sort_unstable();
    let mut surplus = map.len() - most + most.div_ceil(4);
    let newest_to_go = times[surplus - 1];
    map.retain(|_, value| {
        let goes = surplus > 0 && used(value) <= newest_to_go;
        surplus -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_cache_forgets_what_was_used_longest_ago_and_stays_bounded() {
        let (start, mut cache) = (Instant::now(), HashMap::new());
        for number in 0..1000 {
            evict_oldest(&mut cache, 100, |used| *used);
            // The first is used again and again.
            cache.insert(0, start + Duration::from_secs(number));
            cache.insert(number, start + Duration::from_secs(number));
            assert!(cache.len() <= 101, "{}", cache.len());
        }
        assert!(cache.contains_key(&0) && cache.contains_key(&999) && !cache.contains_key(&1));
    }

    #[test]
    fn entries_of_one_moment_make_room_too() {
        let now = Instant::now();
        let mut cache: HashMap<u32, Instant> = (0..100).map(|number| (number, now)).collect();
        evict_oldest(&mut cache, 100, |used| *used);
        assert_eq!(cache.len(), 75);
    }
}
