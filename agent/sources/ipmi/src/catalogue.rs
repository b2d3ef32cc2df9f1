//! Instruments of IPMI.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Gauge, UpDownCounter};
use accelscope_core::metric::catalogue::{hw, instrument};
use accelscope_core::source::Extension;

use crate::key::{
    HW_FIRMWARE_VERSION, HW_ID, HW_MODEL, HW_NAME, HW_PARENT, HW_SENSOR_LOCATION, IPMI_CHASSIS_CONDITION,
    IPMI_MANUFACTURER_ID, IPMI_PRODUCT_ID, IPMI_VERSION,
};

instruments! {
    BMC_INFO = instrument(
        "ipmi.bmc.info", "", Gauge,
        &[HW_ID, HW_MODEL, HW_FIRMWARE_VERSION, IPMI_VERSION, IPMI_MANUFACTURER_ID, IPMI_PRODUCT_ID],
        "Always 1; its attributes describe the server's management controller (BMC).",
    );
    CHASSIS_STATE = instrument(
        "ipmi.chassis.state", "1", UpDownCounter, &[HW_ID, IPMI_CHASSIS_CONDITION],
        "1 while the chassis status has the condition, else 0; several may hold at once.",
    );
    SEL_ENTRIES = instrument(
        "ipmi.sel.entries", "{entry}", UpDownCounter, &[HW_ID], "Entries of the BMC's system event log (SEL).",
    );
    SEL_FREE = instrument(
        "ipmi.sel.free", "By", UpDownCounter, &[HW_ID],
        "Room that is left in the BMC's system event log; a full one takes no more events. Absent where the BMC only says \
         that it is 65,535 bytes or more.",
    );
}

/// Keys of the sensors on instruments that other sources have too.
pub(crate) const EXTENSIONS: &[Extension] = &[Extension {
    instruments: &[
        &hw::POWER,
        &hw::TEMPERATURE,
        &hw::TEMPERATURE_LIMIT,
        &hw::FAN_SPEED,
        &hw::FAN_SPEED_LIMIT,
        &hw::FAN_SPEED_RATIO,
        &hw::VOLTAGE,
        &hw::VOLTAGE_LIMIT,
        &hw::CURRENT,
        &hw::STATUS,
    ],
    attributes: &[HW_NAME, HW_PARENT, HW_SENSOR_LOCATION],
}];
