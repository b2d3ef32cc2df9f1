//! Bound of a cache.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::time::Instant;

use super::fair::{self, Demand};

/// Makes room for one more entry: once `map` has `most` entries, removes the quarter that was used longest ago. To
/// remove many at once makes the search for the oldest rare.
pub fn evict_oldest<K: Eq + Hash, V, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    most: usize,
    used: impl Fn(&V) -> Instant,
) {
    evict_fairly(map, most, |_, _| Some(()), used);
}

/// Makes room as [`evict_oldest`] does among the entries that have an owner: each owner loses only what it has beyond its
/// fair share, and of that what was used longest ago.
pub fn evict_fairly<K: Eq + Hash, V, O: Clone + Eq + Hash + Ord, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    most: usize,
    owner: impl Fn(&K, &V) -> Option<O>,
    used: impl Fn(&V) -> Instant,
) {
    evict_fairly_into(map, most, owner, used, |_, _| {});
}

/// As [`evict_fairly`], passing on what is removed.
pub fn evict_fairly_into<K: Eq + Hash, V, O: Clone + Eq + Hash + Ord, S: BuildHasher>(
    map: &mut HashMap<K, V, S>,
    most: usize,
    owner: impl Fn(&K, &V) -> Option<O>,
    used: impl Fn(&V) -> Instant,
    mut removed: impl FnMut(&K, &V),
) {
    if map.len() < most {
        return;
    }
    let mut times: HashMap<O, Vec<Instant>> = HashMap::new();
    for (key, value) in map.iter() {
        if let Some(owner) = owner(key, value) {
            times.entry(owner).or_default().push(used(value));
        }
    }
    if times.values().map(Vec::len).sum::<usize>() < most {
        return;
    }
    let demands = times.iter().map(|(owner, times)| {
        let (has, wants) = (times.len(), times.len());
        (owner.clone(), Demand { has, wants })
    });
    let mut surplus: HashMap<O, (usize, Instant)> = HashMap::new();
    for (owner, limit) in fair::limits(demands, most - most.div_ceil(4)) {
        let Some(times) = times.get_mut(&owner) else { continue };
        times.sort_unstable();
        let count = times.len() - limit;
        surplus.insert(owner, (count, times[count - 1]));
    }
    map.retain(|key, value| {
        let Some((count, newest_to_go)) = owner(key, value).and_then(|owner| surplus.get_mut(&owner)) else {
            return true;
        };
        let goes = *count > 0 && used(value) <= *newest_to_go;
        *count -= usize::from(goes);
        if goes {
            removed(key, value);
        }
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

    #[test]
    fn one_owner_s_many_entries_make_room_and_not_the_others_old_ones() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache: HashMap<(char, u64), Instant> = (0..3).map(|number| (('a', number), at(number))).collect();
        for number in 0..1000 {
            evict_fairly(&mut cache, 100, |(owner, _), _| Some(*owner), |used| *used);
            cache.insert(('b', number), at(1000 + number));
        }
        assert!(cache.len() <= 101, "{}", cache.len());
        assert!((0..3).all(|number| cache.contains_key(&('a', number))));
        assert!(cache.contains_key(&('b', 999)) && !cache.contains_key(&('b', 1)));
    }
}
