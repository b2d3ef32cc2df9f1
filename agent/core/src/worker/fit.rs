//! Makes a reply small enough to be sent.

use std::collections::HashMap;

use super::protocol::{MAX_FRAME_BYTES, MAX_POINTS, Reply, frame};
use crate::fair::{self, Demand};

/// Reason of the readings that are left out (`agent.sampler.skipped`).
pub(super) const TOO_MANY: &str = "too_many";

/// The reply as a message. Where it is longer than messages may be, or has more readings than are accepted, it has fewer of
/// those instruments that have the most in one part: of a GPU with thousands of processes, not all are told.
pub(super) fn fitting(reply: &mut Reply<'_>) -> serde_json::Result<Vec<u8>> {
    limit(reply, MAX_POINTS);
    loop {
        let bytes = frame(reply)?;
        let length = bytes.len() - 4;
        let points: usize = reply.parts.iter().map(|part| part.points.len()).sum();
        if length <= MAX_FRAME_BYTES || points == 0 {
            return Ok(bytes);
        }
        // Some more than needed, as not all are of one length.
        let fit = points as u64 * (MAX_FRAME_BYTES as u64 * 9 / 10) / length as u64;
        limit(reply, fit as usize);
    }
}

/// Leaves at most so many readings. The first ones stay, so that they are the same ones each time.
fn limit(reply: &mut Reply<'_>, most: usize) {
    let all: usize = reply.parts.iter().map(|part| part.points.len()).sum();
    if all <= most {
        return;
    }
    let mut demands = HashMap::<(usize, String), Demand>::new();
    for (at, part) in reply.parts.iter().enumerate() {
        for point in &part.points {
            demands.entry((at, point.name.to_string())).or_default().wants += 1;
        }
    }
    let mut limits = fair::limits(demands, most);
    let mut left = 0;
    for (at, part) in reply.parts.iter_mut().enumerate() {
        part.points.retain(|point| {
            let Some(room) = limits.get_mut(&(at, point.name.to_string())) else {
                return true;
            };
            let has_room = *room > 0;
            *room -= usize::from(has_room);
            has_room
        });
        left += part.points.len();
    }
    *reply.skipped.entry(TOO_MANY.to_owned()).or_default() += (all - left) as u64;
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{WireOutcome, WirePart, WirePoint};
    use super::*;
    use crate::metric::{Timestamp, Value};

    /// How many readings of each instrument are left of so many.
    fn left(counts: &[usize], most: usize) -> Vec<usize> {
        let names: Vec<String> = (0..counts.len()).map(|nth| format!("of {nth}")).collect();
        let points = names.iter().zip(counts).flat_map(|(name, count)| {
            std::iter::repeat_n(name.as_str(), *count).map(|name| WirePoint {
                name: name.into(),
                attributes: None,
                owner: None,
                time: Timestamp::from_unix_nanos(0),
                start: None,
                value: Value::Int(1),
            })
        });
        let mut reply = Reply::empty(0, WireOutcome::Sampled, String::new());
        reply.parts = vec![WirePart {
            name: "".into(),
            points: points.collect(),
        }];
        limit(&mut reply, most);
        let kept = |name: &String| reply.parts[0].points.iter().filter(|point| point.name == *name).count();
        let left: Vec<usize> = names.iter().map(kept).collect();
        let skipped = counts.iter().sum::<usize>() - left.iter().sum::<usize>();
        let counted = reply.skipped.get(TOO_MANY).copied().unwrap_or_default();
        assert_eq!(counted, skipped as u64);
        left
    }

    #[test]
    fn who_needs_less_leaves_the_rest_to_others() {
        assert_eq!(left(&[1, 2, 3], 6), [1, 2, 3]);
        assert_eq!(left(&[1, 100, 100], 101), [1, 50, 50]);
        assert_eq!(left(&[10, 10, 10], 5).iter().sum::<usize>(), 5);
        assert_eq!(left(&[10, 10], 0), [0, 0]);
        assert_eq!(left(&[], 0), [0; 0]);
    }
}
