//! Allocations across a restart of the kubelet.
//!
//! A kubelet that has just started lists no pods until the API server has sent them: kubelet 1.34.4 answered with an
//! empty list for a second while its pods kept running on their devices.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use accelscope_core::metric::Point;

/// Time after a restart during which the list may lack earlier allocations.
const GRACE: Duration = Duration::from_mins(1);

/// Identity of the socket that answered: each start of a kubelet creates one. Inode numbers are reused at once, so the
/// change time belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SocketId {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl From<&Metadata> for SocketId {
    fn from(socket: &Metadata) -> Self {
        Self {
            device: socket.dev(),
            inode: socket.ino(),
            changed: (socket.ctime(), socket.ctime_nsec()),
        }
    }
}

/// The allocations of the previous response.
#[derive(Debug, Default)]
pub(super) struct Memory {
    socket: Option<SocketId>,
    until: Option<Instant>,
    last: Vec<Point>,
}

impl Memory {
    /// Whether no kubelet has ever answered.
    pub(super) fn is_empty(&self) -> bool {
        self.socket.is_none()
    }

    /// Adds to the points of a response those of before a restart, while they may still be missing.
    pub(super) fn complete(&mut self, socket: SocketId, mut points: Vec<Point>, now: Instant) -> Vec<Point> {
        if self.socket.is_some_and(|before| before != socket) {
            self.until = Some(now + GRACE);
        }
        self.socket = Some(socket);
        if self.until.is_some_and(|until| now < until) {
            let listed: HashSet<_> = points.iter().map(|point| point.attributes.clone()).collect();
            let missing = self.last.drain(..).filter(|point| !listed.contains(&point.attributes));
            points.extend(missing);
        }
        self.last.clone_from(&points);
        points
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use accelscope_core::metric::catalogue::accel::DEVICE_ALLOCATION;
    use accelscope_core::metric::{Attributes, Timestamp, key};

    fn socket(inode: u64) -> SocketId {
        SocketId {
            device: 1,
            inode,
            changed: (0, 0),
        }
    }

    fn points(ids: &[&str]) -> Vec<Point> {
        let point = |id: &&str| Point {
            instrument: &DEVICE_ALLOCATION,
            attributes: Arc::new(Attributes::new([(key::ACCEL_DEVICE_ID, (*id).into())])),
            owner: None,
            value: 1.into(),
            time: Timestamp::from_unix_nanos(1),
            start: None,
        };
        ids.iter().map(point).collect()
    }

    fn ids(points: &[Point]) -> Vec<String> {
        let id = |point: &Point| point.attributes.get(key::ACCEL_DEVICE_ID).unwrap().to_string();
        points.iter().map(id).collect()
    }

    #[test]
    fn an_allocation_ends_with_the_response_that_lacks_it_unless_the_kubelet_has_just_started() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut answer = |inode, seconds, ids_: &[&str]| {
            let now = start + Duration::from_secs(seconds);
            ids(&memory.complete(socket(inode), points(ids_), now))
        };
        assert_eq!(answer(1, 0, &["a", "b"]), ["a", "b"]);
        assert_eq!(answer(1, 10, &["b"]), ["b"]);
        assert_eq!(answer(2, 20, &[]), ["b"]);
        assert_eq!(answer(2, 30, &["c"]), ["c", "b"]);
        assert_eq!(answer(2, 40, &["b", "c"]), ["b", "c"], "and nothing twice");
        assert_eq!(answer(2, 79, &["c"]), ["c", "b"]);
        assert_eq!(answer(2, 81, &["c"]), ["c"], "it has had its time");
    }
}
