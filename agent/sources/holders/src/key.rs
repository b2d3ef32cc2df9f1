//! Attribute keys of the source.

pub(crate) use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// What a holder waits for: `cpu_quota` (its limit of CPU time), `cpu` (another program has it), `memory` or `io`.
    ACCEL_HOLDER_REASON = "accel.holder.reason";
    /// The resource that is missing: `cpu`, `memory` or `io`.
    ACCEL_HOLDER_RESOURCE = "accel.holder.resource";
    /// Which tasks of the group wait: `some` (at least one) or `full` (all that have work).
    ACCEL_HOLDER_STALL = "accel.holder.stall";
}
