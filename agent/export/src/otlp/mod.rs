//! OTLP: series are encoded once, queued within a bound, and sent oldest first to each destination.
//!
//! ```text
//! series ──Encoder──► records ──Exporter::push──► one queue per destination ──Sender──► gRPC or HTTP
//! ```

mod begun;
mod channel;
mod classify;
mod credentials;
mod delivery;
mod destination;
mod divide;
mod encode;
mod error;
mod exporter;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod grpc;
mod http;
mod json;
mod learnt;
mod metrics;
mod part;
mod queue;
mod record;
mod secrets;
mod sender;
mod sizing;
mod state_log;
mod tls;
mod transport;
mod unary;
mod wire;

pub use crate::backoff::{MAX_RETRY_AFTER, RetryPolicy};
pub use channel::channel;
pub use delivery::{DestinationState, Totals};
pub use destination::{Compression, Destination, Protocol, Secret, TlsFiles, shown};
pub use encode::{Encoder, SCHEMA_URL, SCOPE_NAME};
pub use error::BuildError;
pub use exporter::{Exporter, verify};
pub use json::{JsonError, json_line};
pub use queue::Usage;
pub use record::{MAX_RECORD_BYTES, Owners, Record};
pub use sizing::MAX_REQUEST_BYTES;
pub use transport::unexpanded;
