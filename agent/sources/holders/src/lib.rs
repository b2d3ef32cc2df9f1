//! What the containers and units that hold an accelerator wait for: the files of their control groups, and how long their
//! threads wait for a CPU.
//!
//! Nothing is hooked in the kernel, and nothing is read while nobody holds an accelerator: the cost follows the number of
//! holders.

#![forbid(unsafe_code)]

mod catalogue;
mod counter;
mod explain;
mod files;
mod former;
mod group;
mod key;
mod limits;
mod member;
mod members;
mod parse;
mod points;
mod sampler;
mod settings;
mod source;
mod table;
mod throttle;

pub use self::explain::explain;
pub use self::sampler::Sampler;
pub use self::settings::Settings;
pub use self::source::SOURCE;

#[cfg(test)]
mod tests;
