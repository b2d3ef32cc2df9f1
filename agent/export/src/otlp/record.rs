//! What waits and travels: encoded once, shared by every destination.

use bytes::Bytes;

use accelscope_core::metric::Timestamp;

/// Largest record in bytes, before compression. Small enough that four of them stay below the 4 MiB that a gRPC server
/// takes by default (grpc-go and tonic: `max_recv_msg_size`).
pub const MAX_RECORD_BYTES: usize = 1024 * 1024;

/// One collection, or a piece of one: a complete `ExportMetricsServiceRequest`.
///
/// Protobuf messages of one type concatenate to one message of that type, so several records are one request by
/// putting their bytes in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The encoded request.
    pub bytes: Bytes,
    /// How many data points it holds.
    pub points: u64,
    /// When it was made.
    pub time: Timestamp,
}

impl Record {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it holds nothing that is worth a request.
    pub fn is_empty(&self) -> bool {
        self.points == 0 || self.bytes.is_empty()
    }
}
