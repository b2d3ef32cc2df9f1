//! What a sampler hands on at once.

use std::sync::Arc;

use super::Point;

/// The part of the world that a batch speaks of: a sampler, and a device or file of it where they are read apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// Name of the sampler.
    pub sampler: &'static str,
    /// The device or file; empty where the sampler reads all at once.
    pub name: Arc<str>,
}

impl Part {
    /// All of a sampler.
    pub fn whole(sampler: &'static str) -> Self {
        Self {
            sampler,
            name: "".into(),
        }
    }
}

/// Everything that is now true in one part. A series of that part that is not in its newest batch has ended.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Of what it speaks.
    pub part: Part,
    /// The readings.
    pub points: Vec<Point>,
}
