//! A kubelet that has just started knows no pods until it has heard from the API server, and says so: kubelet 1.34.4
//! answered with an empty list for a second while its pods kept running on their devices.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use accelscope_core::metric::Point;

/// How long the list of a kubelet that has started anew may lack what its predecessor had allocated.
const SETTLE: Duration = Duration::from_mins(1);

/// Which kubelet answered: each makes a socket of its own. Inode numbers are used again at once, so the time counts too.
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

/// What was allocated when the kubelet was last believed.
#[derive(Debug, Default)]
pub(super) struct Memory {
    socket: Option<SocketId>,
    until: Option<Instant>,
    last: Vec<Point>,
}

impl Memory {
    /// Nothing was ever heard.
    pub(super) fn is_empty(&self) -> bool {
        self.socket.is_none()
    }

    /// The points of an answer, and of a kubelet that has just started those of its predecessor too.
    pub(super) fn settle(&mut self, socket: SocketId, mut points: Vec<Point>, now: Instant) -> Vec<Point> {
        if self.socket.is_some_and(|before| before != socket) {
            self.until = Some(now + SETTLE);
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
    fn what_a_kubelet_forgets_is_believed_at_once_unless_it_has_just_started() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let mut answer = |inode, seconds, ids_: &[&str]| {
            let now = start + Duration::from_secs(seconds);
            ids(&memory.settle(socket(inode), points(ids_), now))
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
