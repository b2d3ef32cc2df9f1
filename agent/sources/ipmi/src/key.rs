//! Attribute keys of IPMI.

pub(crate) use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// What the chassis status tells: `power_on`, `power_overload`, `power_interlock`, `power_fault`, `power_control_fault`, `intrusion`, `drive_fault` or `cooling_fault`.
    IPMI_CHASSIS_CONDITION = "ipmi.chassis.condition";
    /// IANA enterprise number of the BMC's manufacturer, e.g. 674 for Dell.
    IPMI_MANUFACTURER_ID = "ipmi.manufacturer.id";
    /// Product number of the BMC's manufacturer.
    IPMI_PRODUCT_ID = "ipmi.product.id";
    /// Version of IPMI that the BMC speaks, e.g. `2.0`.
    IPMI_VERSION = "ipmi.version";
}
