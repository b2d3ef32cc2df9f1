//! Vendor code in a process of its own.
//!
//! A vendor's library can hang in the kernel, crash, leak or refuse to be reloaded. It runs in `agent worker NAME`, the
//! same binary as a child, which answers one request at a time over its standard input and output. The agent gives each
//! request a deadline; a child that misses it, dies or sends a malformed reply is killed and replaced with back-off. A
//! child that cannot even be killed (it hangs in the kernel) is left behind, counted, and never waited for.
//!
//! In the child, one thread calls the library ([`Library`], [`LibraryThread`]). A call that does not return, or that
//! crashes the process, is suspended in the processes that follow ([`Suspensions`]); all others go on.

mod attribute_cache;
mod backoff;
mod child;
mod config;
pub mod descendants;
pub mod environment;
mod fit;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod handover;
mod library;
pub mod orphans;
mod own;
pub mod process;
mod progress;
mod protocol;
mod reader;
mod sampler;
mod serve;
mod supervised;
mod suspension;

pub use child::{Worker, WorkerError};
pub use config::WorkerConfig;
pub use library::{Disconnected, End, Hang, Library, LibraryThread, Pass, Replies, serve_library};
pub use own::{own_program, remedy as remedy_for_own_program};
pub use progress::Progress;
pub use protocol::{MAX_FRAME_BYTES, ProtocolError, RenewalReason, Reply, WireOutcome, WirePart, WirePoint};
pub use sampler::WorkerSampler;
pub use serve::serve;
pub use supervised::{Lifeline, ProgramEnd, Supervised, end_stopped};
pub use suspension::{DISCOVERY, Fault, Suspended, Suspension, Suspensions, WorkUnit};
