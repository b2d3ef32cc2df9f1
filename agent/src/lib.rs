//! accelscope: the node agent as a library.
//!
//! Wires the crates of `agent/` together: [`config`] and [`cli`] read what the user wants, [`runtime`] runs it.

pub mod cli;
pub mod config;
pub mod doctor;
pub mod runtime;
