//! OTLP: series encoded once, queued within a bound, sent oldest first to each destination.

mod destination;

pub use destination::{Compression, Destination, Protocol, Secret, TlsFiles};
