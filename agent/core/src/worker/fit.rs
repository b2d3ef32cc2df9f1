//! Makes a reply small enough to be sent.

use std::collections::HashMap;

use super::protocol::{MAX_FRAME_BYTES, MAX_POINTS, Reply, frame};

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
    let mut counts = HashMap::<(usize, String), usize>::new();
    for (at, part) in reply.parts.iter().enumerate() {
        for point in &part.points {
            *counts.entry((at, point.name.to_string())).or_default() += 1;
        }
    }
    let share = equal_share(counts.into_values().collect(), most);
    let mut left = 0;
    for part in &mut reply.parts {
        let mut kept = HashMap::new();
        part.points.retain(|point| {
            let kept = kept.entry(point.name.clone()).or_insert(0);
            *kept += 1;
            *kept <= share
        });
        left += part.points.len();
    }
    *reply.skipped.entry(TOO_MANY.to_owned()).or_default() += (all - left) as u64;
}

/// How many each may keep of these numbers, so that all together are at most `most`: those that need less leave the rest to the
/// others.
fn equal_share(mut counts: Vec<usize>, most: usize) -> usize {
    counts.sort_unstable();
    let (mut left, mut sharing) = (most, counts.len());
    for count in counts {
        let share = left / sharing;
        if count > share {
            return share;
        }
        left -= count;
        sharing -= 1;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_less_leaves_the_rest_to_others() {
        assert_eq!(equal_share(vec![1, 2, 3], 6), usize::MAX);
        assert_eq!(equal_share(vec![1, 100, 100], 101), 50);
        assert_eq!(equal_share(vec![10, 10, 10], 5), 1);
        assert_eq!(equal_share(vec![10, 10], 1), 0);
        assert_eq!(equal_share(Vec::new(), 0), usize::MAX);
    }
}
