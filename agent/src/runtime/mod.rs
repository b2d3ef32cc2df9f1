//! Runs the samplers and wires them to the pipeline and the exporters.

// hub, samplers and status are wired in once attribution is there.
pub mod worker;
