//! IPMI: what a server's management controller (BMC) measures, through the kernel's `/dev/ipmi0`.
//!
//! A BMC takes milliseconds to seconds for each answer, and some stop answering. So it is asked in a worker process, within
//! a budget for each request; what does not fit is read in the next one. The sensors' descriptions (SDR) are kept as long as
//! the BMC says that they did not change.
//!
//! ```text
//! sampler ─► worker (agent worker ipmi) ─► machine ─► bmc (device)
//!                                            ├─► identity, chassis, dcmi, sel
//!                                            └─► sdr ─► sensors ─► reading
//! explain ─► place
//! ```
//!
//! The protocol is of this crate, by the IPMI specification 2.0 revision 1.1 and DCMI 1.5. The crates `ipmi-rs` and
//! `ipmi-rs-core` (0.6.0) were looked at: they panic at records that are cut short or have a reserved modifier, read a negative
//! M wrongly (one of its two high bits is masked out), read whole records only, which many BMCs refuse (completion code CAh),
//! take a late answer for a failure of the next command, have no DCMI, and bring the cryptography of remote sessions along.

mod bmc;
mod catalogue;
mod chassis;
mod dcmi;
mod entity;
mod explain;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod identity;
mod key;
mod machine;
mod place;
mod plausible;
#[cfg(test)]
mod records;
mod sampler;
mod sdr;
mod sel;
mod sensor;
mod sensors;
mod settings;
#[cfg(any(test, feature = "fuzz"))]
mod simulated;
mod skipped;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod worker;

pub use settings::Settings;
pub use source::SOURCE;

/// Name of the source.
const NAME: &str = "ipmi";
