//! Attribute keys of the source, beside the shared ones.

pub(crate) use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// Code of the SXid, NVIDIA's number for a kind of fault of an NVSwitch; `_OTHER` beyond a number of codes.
    NVIDIA_SXID = "nvidia.sxid";
}
