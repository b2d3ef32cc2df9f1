//! accelscope: the node agent as a library.
//!
//! Wires the crates of `agent/` together: [`config`] and [`cli`] read what the user wants, [`runtime`] runs it.

#![forbid(unsafe_code)]

mod apart;
pub mod cli;
pub mod config;
pub mod doctor;
mod program;
mod run;
pub mod runtime;
pub mod simulate;
mod sources;
mod stack;
mod standard_error;
mod status;

pub use program::main;
pub use sources::SOURCES;
