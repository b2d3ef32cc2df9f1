//! Vendor code in a process of its own.
//!
//! A vendor's library can hang in the kernel, crash, leak or refuse to be reloaded. It runs in `agent worker NAME`, the
//! same binary as a child, which answers one request at a time over its standard input and output. The parent gives
//! each request a deadline; a child that misses it, dies or answers nonsense is killed and replaced with back-off. A
//! child that cannot even be killed (it hangs in the kernel) is left behind, counted, and never waited for.

mod backoff;
mod child;
mod keepsake;
mod known;
mod protocol;
mod sampler;
mod serve;
mod starts;

pub use child::{Command, Worker, WorkerError};
pub use keepsake::Keepsake;
pub use protocol::{MAX_FRAME_BYTES, ProtocolError, Reply, WireOutcome, WireOwner, WirePart, WirePoint, WireValue};
pub use sampler::WorkerSampler;
pub use serve::{order, serve, serve_renewing};
pub use starts::Starts;
