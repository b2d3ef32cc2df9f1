//! What a sensor is in: entity ids of IPMI 2.0, table 43-13, and of DCMI 1.5, table 6-12.

/// The value of `hw.type`, and the place's name in `hw.sensor_location`.
pub(crate) fn of(entity: u8) -> (&'static str, &'static str) {
    match entity {
        3 | 65 => ("cpu", "cpu"),
        9 => ("cpu", "cpu_module"),
        4 => ("physical_disk", "disk"),
        8 => ("memory", "memory_module"),
        32 => ("memory", "memory"),
        10 => ("power_supply", "power_supply"),
        20 => ("power_supply", "power_module"),
        19 => ("enclosure", "power_unit"),
        21 => ("enclosure", "power_management"),
        26 => ("physical_disk", "drive_bay"),
        29 => ("fan", "fan"),
        30 => ("fan", "cooling_unit"),
        40 => ("battery", "battery"),
        6 => ("enclosure", "management_module"),
        7 | 66 => ("enclosure", "system_board"),
        11 => ("enclosure", "add_in_card"),
        12 => ("enclosure", "front_panel"),
        13 | 22 => ("enclosure", "back_panel"),
        14 => ("enclosure", "power_board"),
        15 => ("enclosure", "drive_backplane"),
        23 => ("enclosure", "chassis"),
        55 | 64 => ("enclosure", "inlet"),
        _ => ("enclosure", "entity"),
    }
}

/// `hw.sensor_location`: the place and its instance, e.g. `cpu1`; one of an unknown kind has its number too.
pub(crate) fn location(entity: u8, instance: u8) -> String {
    match of(entity).1 {
        "entity" => format!("entity{entity}.{instance}"),
        place => format!("{place}{instance}"),
    }
}
