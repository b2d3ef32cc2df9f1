//! An encoded collection, shared by all destinations.

use std::sync::Arc;

use bytes::Bytes;

use super::part::part;
use accelscope_core::metric::Timestamp;

/// Largest record in bytes, before compression. Three of them stay below the 4 MiB that a gRPC server accepts by default (grpc-go and tonic: `max_recv_msg_size`).
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// One collection, or a part of one: a complete `ExportMetricsServiceRequest`.
///
/// Protobuf messages of one type concatenate to one message of that type, so the concatenated bytes of several records
/// are one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The encoded request.
    pub bytes: Bytes,
    /// Number of data points.
    pub points: u64,
    /// Time of the collection.
    pub time: Timestamp,
    /// Whose points these are.
    pub owners: Owners,
}

/// Whose points a record has, as far as a full queue has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// So many workloads have few of the points, and the agent and the hardware the others.
    Many(usize),
    /// This workload has all of them, which are many.
    One(Arc<str>),
}

impl Default for Owners {
    /// The agent and the hardware.
    fn default() -> Self {
        Self::Many(0)
    }
}

impl Record {
    /// Bytes of the request, uncompressed.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// A request of its points from number `from` on, and how many it has: as many as `max_points` and `max_bytes` allow,
    /// at least one. `None` if it has no point there.
    pub(super) fn part(&self, from: u64, max_points: u64, max_bytes: u64) -> Option<(Bytes, u64)> {
        // What describes the points is in each part, so that a part is larger than its share: the first size is a guess.
        let mut points = max_points
            .min(scaled(self.points, max_bytes, self.size()))
            .min(self.points.saturating_sub(from))
            .max(1);
        loop {
            let bytes = part(&self.bytes, &(from..from.saturating_add(points)))?;
            let size = bytes.len() as u64;
            if size <= max_bytes || points == 1 {
                return Some((Bytes::from(bytes), points));
            }
            points = scaled(points, max_bytes, size).clamp(1, points - 1);
        }
    }
}

/// `number` × `numerator` / `denominator`, at most the largest number.
fn scaled(number: u64, numerator: u64, denominator: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(numerator) / u128::from(denominator.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
