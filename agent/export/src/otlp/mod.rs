//! OTLP: series encoded once, queued within a bound, sent oldest first to each destination.
//!
//! ```text
//! series ──Encoder──► records ──Exporter::push──► a queue a destination ──sender──► gRPC or HTTP
//! ```

mod backoff;
mod classify;
mod credentials;
mod destination;
mod encode;
mod error;
mod exporter;
mod grpc;
mod http;
mod json;
mod ledger;
mod meters;
mod queue;
mod quiet;
mod record;
mod sender;
mod tls;
mod transport;
mod wire;

#[cfg(feature = "k8s-annotation")]
pub(crate) use backoff::Backoff;
pub use backoff::{LONGEST_ASKED, Pace};
pub use destination::{Compression, Destination, Protocol, Secret, TlsFiles};
pub use encode::{Encoder, SCHEMA_URL, SCOPE_NAME};
pub use error::BuildError;
pub use exporter::{Exporter, FlushReport, LeftOver};
pub use json::{JsonError, json_line};
pub use ledger::{DestinationState, Totals};
pub use queue::{Loss, MemoryQueue, Queue, Usage};
#[cfg(feature = "k8s-annotation")]
pub(crate) use quiet::Quiet;
pub use record::{MAX_RECORD_BYTES, Record};
pub use sender::MAX_REQUEST_BYTES;
