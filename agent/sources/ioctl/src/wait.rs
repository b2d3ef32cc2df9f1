//! Waiting for events.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Pause where descriptors cannot be polled.
const RETRY: Duration = Duration::from_millis(20);

/// Waits until one of the descriptors is readable, at most until `until`. A signal ends it early.
pub(super) fn readable(descriptors: &[BorrowedFd<'_>], until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    if descriptors.is_empty() {
        std::thread::sleep(left);
        return;
    }
    let timeout = Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    };
    let polled = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
    let mut polled: Vec<PollFd<'_>> = descriptors.iter().map(AsFd::as_fd).map(polled).collect();
    if poll(&mut polled, Some(&timeout)).is_err() {
        std::thread::sleep(left.min(RETRY));
    }
}
