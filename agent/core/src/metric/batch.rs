//! Readings that a sampler emits at once.

use std::sync::Arc;

use super::Point;

/// Scope of a batch: a sampler, and one of its devices or files where they are read apart.
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

/// All readings of one part. A series of that part that is not in its newest batch has ended.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its scope.
    pub part: Part,
    /// The readings.
    pub points: Vec<Point>,
}

impl Batch {
    /// All readings of a sampler.
    pub fn whole(sampler: &'static str, points: Vec<Point>) -> Self {
        Self::new(sampler, "", points)
    }

    /// The readings of one device or file.
    pub fn new(sampler: &'static str, name: impl Into<Arc<str>>, points: Vec<Point>) -> Self {
        let name = name.into();
        Self {
            part: Part { sampler, name },
            points,
        }
    }
}
