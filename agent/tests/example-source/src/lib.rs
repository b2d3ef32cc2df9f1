//! NPUs of the made-up vendor Acme: `/sys/class/acme/acme<N>/{serial,load,jobs}`, read in a worker process.
//!
//! A source has a folder like this one under `agent/sources`, a line in `agent/src/sources.rs` and a line in the workspace's
//! manifest; `cargo xtask bless` writes the rest.
#![forbid(unsafe_code)]

mod catalogue;
mod key;
mod sampler;
mod settings;
mod source;
mod table;
mod worker;

pub use settings::Settings;
pub use source::SOURCE;

/// Name of the source.
const NAME: &str = "acme";
