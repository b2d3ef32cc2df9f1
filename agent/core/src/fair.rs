//! Fair division of a bound: those that want little get it, and those that want much share the rest equally (max-min
//! fairness). So one that floods takes room only from itself, whatever the order in which they come.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

/// What one of those that share a bound has, and has and wants together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// What it has.
    pub has: usize,
    /// What it would have with what it wants more.
    pub wants: usize,
}

/// What each may have of `capacity`; only those that may have less than they want.
///
/// Where the division leaves a remainder, those that have more keep it, so that nothing moves while the demands stay.
pub fn limits<K: Eq + Hash + Ord>(
    demands: impl IntoIterator<Item = (K, Demand)>,
    capacity: usize,
) -> HashMap<K, usize> {
    let mut demands: Vec<(K, Demand)> = demands.into_iter().collect();
    demands.sort_unstable_by_key(|(_, demand)| demand.wants);
    let mut left = capacity;
    for at in 0..demands.len() {
        let sharing = demands.len() - at;
        let each = left / sharing;
        let wants = demands[at].1.wants;
        if wants <= each {
            left -= wants;
            continue;
        }
        let mut remainder = left % sharing;
        let mut rest = demands.split_off(at);
        rest.sort_by(|(a, x), (b, y)| (Reverse(x.has), a).cmp(&(Reverse(y.has), b)));
        let cut = rest.into_iter().filter_map(|(key, demand)| {
            let one_more = remainder > 0;
            remainder -= usize::from(one_more);
            let limit = each + usize::from(one_more);
            (demand.wants > limit).then_some((key, limit))
        });
        return cut.collect();
    }
    HashMap::new()
}

/// As [`limits`], first among groups, then within each among its members: a group does not get more for having many.
pub fn grouped_limits<G: Eq + Hash + Ord, K: Eq + Hash + Ord>(
    demands: impl IntoIterator<Item = (G, K, Demand)>,
    capacity: usize,
) -> HashMap<K, usize> {
    let mut groups: HashMap<G, (Demand, Vec<(K, Demand)>)> = HashMap::new();
    for (group, key, demand) in demands {
        let (whole, members) = groups.entry(group).or_default();
        whole.has += demand.has;
        whole.wants += demand.wants;
        members.push((key, demand));
    }
    let of_groups = limits(groups.iter().map(|(group, (whole, _))| (group, *whole)), capacity);
    let of_groups: Vec<usize> = groups
        .keys()
        .map(|group| of_groups.get(group).copied().unwrap_or(usize::MAX))
        .collect();
    let members = groups.into_values().map(|(_, members)| members);
    members
        .zip(of_groups)
        .flat_map(|(members, limit)| limits(members, limit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(demands: &[(&'static str, usize, usize)], capacity: usize, expected: &[(&'static str, usize)]) {
        let all = demands.iter().map(|(name, has, wants)| {
            (
                *name,
                Demand {
                    has: *has,
                    wants: *wants,
                },
            )
        });
        let expected: HashMap<_, _> = expected.iter().copied().collect();
        assert_eq!(limits(all, capacity), expected, "{demands:?} of {capacity}");
    }

    #[test]
    fn who_wants_little_gets_it_and_the_others_share_the_rest() {
        is(&[("a", 0, 3), ("b", 2, 2)], 5, &[]);
        is(&[("flood", 0, 10_000), ("small", 0, 3)], 2000, &[("flood", 1997)]);
        is(
            &[("flood", 2000, 10_000), ("other", 0, 9_000), ("small", 0, 3)],
            2000,
            &[("flood", 999), ("other", 998)],
        );
        is(&[("a", 0, 4), ("b", 0, 4)], 0, &[("a", 0), ("b", 0)]);
        is(&[], 0, &[]);
    }

    #[test]
    fn the_remainder_stays_where_it_is() {
        is(&[("a", 2, 9), ("b", 3, 9)], 5, &[("a", 2), ("b", 3)]);
        is(&[("a", 3, 9), ("b", 2, 9)], 5, &[("a", 3), ("b", 2)]);
        is(&[("a", 0, 3), ("b", 0, 2)], 4, &[("a", 2)]);
    }

    #[test]
    fn a_group_of_many_has_the_share_of_one() {
        let all = |members: usize, wants| (0..members).map(move |nth| ("many", nth, Demand { has: 0, wants }));
        let small = ("small", 1000, Demand { has: 0, wants: 10 });
        let found = grouped_limits(all(60, 1).chain([small]), 50);
        assert_eq!(found.get(&1000), None);
        let shown: usize = (0..60).map(|nth| found.get(&nth).copied().unwrap_or(1)).sum();
        assert_eq!(shown, 40);
        assert_eq!(grouped_limits(all(4, 10).chain([small]), 50), HashMap::new());
    }
}
