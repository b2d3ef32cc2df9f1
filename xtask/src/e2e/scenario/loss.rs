//! What a destination lacks of what another has, and what the agent says of it.

use std::collections::BTreeMap;

use crate::e2e::reading::Point;

/// A series of every collection, with the collection's time.
pub(super) const HEARTBEAT: &str = "agent.memory.usage";

/// Times of all collections, ascending.
pub(super) fn heartbeats(points: &[Point]) -> Vec<u64> {
    let mut times: Vec<_> = points
        .iter()
        .filter(|point| point.name == HEARTBEAT && !point.is_end())
        .map(Point::time)
        .collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Points that only the witness has. Repeated points are matched one to one.
pub(super) fn missing<'a>(received: &[Point], witnessed: &'a [Point]) -> Vec<&'a Point> {
    let mut here = BTreeMap::<_, usize>::new();
    for point in received {
        *here.entry((point.series(), point.time())).or_default() += 1;
    }
    let is_missing = |point: &&Point| match here.get_mut(&(point.series(), point.time())) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    witnessed.iter().filter(is_missing).collect()
}

/// Last value of a counter of a destination, summed over all reasons.
pub(super) fn total(points: &[Point], name: &str, destination: &str, outcome: Option<&str>) -> f64 {
    let mut last = BTreeMap::new();
    for point in points.iter().filter(|point| point.name == name && !point.is_end()) {
        let of_outcome = outcome.is_none_or(|o| point.attribute("agent.outcome").as_deref() == Some(o));
        if of_outcome && point.attribute("destination").as_deref() == Some(destination) {
            last.insert(point.series(), point.value.unwrap_or(0.0));
        }
    }
    last.values().sum()
}

/// Number of points that the agent says it dropped.
pub(super) fn dropped(points: &[Point], destination: &str) -> u64 {
    total(points, "agent.export.dropped", destination, None) as u64
}
