//! Waiting for file descriptors until a point in time.

use std::io;
use std::time::Instant;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Waits for an event of one of `descriptors`, at most until `until`; without a limit if it is `None`. Returns whether
/// there was one. Goes on after a signal.
pub fn wait(descriptors: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // A limit beyond `time_t` counts as none.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(descriptors, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
