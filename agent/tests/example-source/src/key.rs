//! Attribute keys of Acme.

accelscope_core::keys! {
    /// Serial number of the NPU as Acme prints it.
    ACME_SERIAL = "acme.serial";
}
