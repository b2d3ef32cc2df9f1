//! Says a thing once, then keeps quiet about it for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cause stays quiet after it has been logged.
const QUIET: Duration = Duration::from_mins(5);

/// Which causes were logged when. Causes are literals of the program, so their number is bounded.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    said: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl Quiet {
    /// How often the cause was kept quiet since it was last said, if it may be said now.
    pub(crate) fn may_say(&self, cause: &'static str) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match said.get_mut(cause) {
            Some((last, unsaid)) if now.duration_since(*last) < QUIET => {
                *unsaid += 1;
                None
            }
            Some((last, unsaid)) => {
                *last = now;
                Some(std::mem::take(unsaid))
            }
            None => {
                said.insert(cause, (now, 0));
                Some(0)
            }
        }
    }
}
