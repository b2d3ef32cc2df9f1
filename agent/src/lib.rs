//! accelscope: the node agent as a library.
//!
//! Data flows one way, left to right, and no module imports one to its right:
//!
//! ```text
//! host ──► sampler/* ──► attribution ──► pipeline ──► export/*
//! ```
//!
//! [`metric`] is below all of them; [`config`], [`cli`] and [`runtime`] wire them together.

pub mod attribution;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod export;
pub mod host;
pub mod metric;
pub mod pipeline;
pub mod runtime;
pub mod sampler;
pub mod simulate;
pub mod telemetry;
