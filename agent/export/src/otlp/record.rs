//! An encoded collection, shared by all destinations.

use bytes::Bytes;

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
}

impl Record {
    /// Bytes of the request, uncompressed.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}
