//! What hung, and is left alone for a while.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// For how long.
const REST: Duration = Duration::from_mins(10);

/// A topic of a GPU that hung in the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Avoided {
    gpu: String,
    topic: String,
    until: SystemTime,
}

impl Avoided {
    pub(super) fn now(gpu: &str, topic: &str) -> Self {
        Self {
            gpu: gpu.to_owned(),
            topic: topic.to_owned(),
            until: SystemTime::now() + REST,
        }
    }

    pub(super) fn is(&self, gpu: &str, topic: &str) -> bool {
        self.gpu == gpu && self.topic == topic
    }

    /// Whether it has rested long enough. A clock that was set back does not make it longer.
    pub(super) fn is_due(&self) -> bool {
        let left = self.until.duration_since(SystemTime::now());
        left.is_err() || left.is_ok_and(|left| left > REST)
    }
}
