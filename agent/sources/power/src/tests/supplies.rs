//! Thermal zones, batteries and mains.

use super::host::{Host, run, values};

fn expect(host: &Host, part: &str, expected: &[(&str, f64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(series, value)| ((*series).to_owned(), *value))
        .collect();
    assert_eq!(values(&run(&mut host.sampler(), 0), part), expected);
}

#[test]
fn a_thermal_zone_has_its_temperature_and_what_happens_at_which() {
    let host = Host::new();
    let zone = |number: u32, files: &[(&str, &str)]| {
        host.register("thermal", &format!("virtual/thermal/thermal_zone{number}"), files);
    };
    zone(
        0,
        &[
            ("type", "x86_pkg_temp"),
            ("temp", "52000"),
            ("trip_point_0_type", "critical"),
            ("trip_point_0_temp", "105000"),
            ("trip_point_1_type", "passive"),
            ("trip_point_1_temp", "95000"),
            ("trip_point_2_type", "passive"),
            ("trip_point_2_temp", "90000"),
            ("trip_point_3_type", "active"),
            ("trip_point_3_temp", "50000"),
            ("trip_point_4_type", "hot"),
            ("trip_point_4_temp", "-274000"),
        ],
    );
    zone(1, &[("type", "acpitz"), ("temp", "-273200")]);
    zone(2, &[("type", "INT3400 Thermal"), ("temp", "20000")]);
    zone(3, &[("type", "iwlwifi_1")]);
    host.register("thermal", "virtual/thermal/cooling_device0", &[("type", "Processor")]);
    expect(
        &host,
        "thermal",
        &[
            ("hw.temperature x86_pkg_temp", 52.0),
            ("hw.temperature.limit x86_pkg_temp high.critical", 105.0),
            ("hw.temperature.limit x86_pkg_temp throttled", 90.0),
        ],
    );
}

#[test]
fn a_battery_tells_charge_time_and_states_and_an_empty_bay_nothing() {
    let host = Host::new();
    host.register(
        "power_supply",
        "LNXSYSTM:00/power_supply/BAT0",
        &[
            ("type", "Battery"),
            ("scope", "System"),
            ("present", "1"),
            ("status", "Discharging"),
            ("health", "Good"),
            ("energy_now", "28500000"),
            ("energy_full", "57000000"),
            ("voltage_now", "11850000"),
            ("current_now", "-1500000"),
            ("power_now", "17775000"),
            ("time_to_empty_now", "5700"),
            ("time_to_full_now", "3932100"),
        ],
    );
    host.register(
        "power_supply",
        "LNXSYSTM:00/power_supply/BAT1",
        &[("type", "Battery"), ("present", "0"), ("capacity", "0")],
    );
    host.register(
        "power_supply",
        "LNXSYSTM:00/power_supply/BAT2",
        &[
            ("type", "Battery"),
            ("status", "Unknown"),
            ("capacity", "101"),
            ("voltage_now", "4294967295"),
            ("power_now", "no"),
        ],
    );
    host.register(
        "power_supply",
        "usb1/power_supply/hidpp_battery_0",
        &[("type", "Battery"), ("scope", "Device"), ("capacity", "80")],
    );
    expect(
        &host,
        "power_supply",
        &[
            ("hw.battery.charge BAT0", 0.5),
            ("hw.battery.time_left BAT0 discharging", 5700.0),
            ("hw.current BAT0", -1.5),
            ("hw.power BAT0 battery", 17.775),
            ("hw.status BAT0 battery charging", 0.0),
            ("hw.status BAT0 battery degraded", 0.0),
            ("hw.status BAT0 battery discharging", 1.0),
            ("hw.status BAT0 battery failed", 0.0),
            ("hw.status BAT0 battery ok", 1.0),
            ("hw.voltage BAT0", 11.85),
        ],
    );
}

/// Drivers differ in the sign of what a battery gives; that of its current is kept, too.
#[test]
fn what_a_battery_gives_may_be_below_zero_and_what_mains_give_may_not() {
    let host = Host::new();
    for (name, kind, power) in [
        ("AC", "Mains", "-15000000"),
        ("BAT0", "Battery", "-15000000"),
        ("BAT1", "Battery", "-2147483648"),
        ("UPS", "UPS", "-1200500000"),
    ] {
        let device = format!("platform/power_supply/{name}");
        let files = [("type", kind), ("power_now", power)];
        host.register("power_supply", &device, &files);
    }
    expect(
        &host,
        "power_supply",
        &[("hw.power BAT0 battery", -15.0), ("hw.power UPS battery", -1200.5)],
    );
}

#[test]
fn mains_that_are_gone_have_failed_and_ports_are_no_mains() {
    let host = Host::new();
    for (name, kind) in [("AC", "Mains"), ("ucsi-source-psy-1", "USB")] {
        let device = format!("platform/power_supply/{name}");
        host.register("power_supply", &device, &[("type", kind), ("online", "0")]);
    }
    expect(
        &host,
        "power_supply",
        &[
            ("hw.status AC power_supply degraded", 0.0),
            ("hw.status AC power_supply failed", 1.0),
            ("hw.status AC power_supply ok", 0.0),
        ],
    );
}
