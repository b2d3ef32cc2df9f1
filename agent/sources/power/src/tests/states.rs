//! Alarms, and values of which several files speak.

use std::fs;

use super::host::{Host, run, values};

const CHIP: &str = "pci0000:00/0000:00:1f.4/i2c-1/1-0058";

/// The state of the only channel of a chip with these files.
fn state(files: &[(&str, &str)]) -> Option<String> {
    let host = Host::new();
    host.chip(CHIP, 0, "dps650ab", files);
    let found = values(&run(&mut host.sampler(), 0), "hwmon");
    let state = found
        .iter()
        .find(|(name, value)| name.starts_with("hw.status") && *value > 0.0);
    state.map(|(name, _)| name.rsplit_once(' ').unwrap().1.to_owned())
}

#[test]
fn each_alarm_is_a_state_and_the_worst_counts() {
    for (set, expected) in [
        ("in1_min_alarm", "degraded"),
        ("in1_max_alarm", "degraded"),
        ("in1_lcrit_alarm", "failed"),
        ("in1_crit_alarm", "failed"),
        ("curr1_min_alarm", "degraded"),
        ("curr1_lcrit_alarm", "failed"),
        ("power1_cap_alarm", "degraded"),
        ("power1_min_alarm", "degraded"),
        ("power1_lcrit_alarm", "failed"),
        ("power1_alarm", "degraded"),
        ("fan1_min_alarm", "degraded"),
        ("temp1_emergency_alarm", "failed"),
        ("temp1_lcrit_alarm", "failed"),
        ("temp1_fault", "failed"),
    ] {
        assert_eq!(state(&[(set, "1")]).as_deref(), Some(expected), "{set}");
        assert_eq!(state(&[(set, "0")]).as_deref(), Some("ok"), "{set}");
    }
    let both = [
        ("in1_min_alarm", "1"),
        ("in1_lcrit_alarm", "1"),
        ("in1_crit_alarm", "0"),
    ];
    assert_eq!(state(&both).as_deref(), Some("failed"));
    let warned = [
        ("temp1_fault", "0"),
        ("temp1_max_alarm", "1"),
        ("temp1_crit_alarm", "0"),
    ];
    assert_eq!(state(&warned).as_deref(), Some("degraded"));
}

#[test]
fn where_the_preferred_file_has_no_value_the_next_one_is_taken() {
    let host = Host::new();
    for average in ["4294967295000", "no number", "-1", "", "999999999999999"] {
        fs::remove_dir_all(host.path("sys/class/hwmon")).unwrap();
        fs::create_dir_all(host.path("sys/class/hwmon")).unwrap();
        let files = [("power1_average", average), ("power1_input", "120000000")];
        host.chip(CHIP, 0, "ina226", &files);
        let found = values(&run(&mut host.sampler(), 0), "hwmon");
        assert_eq!(found, [("hw.power ina226/power1 board".to_owned(), 120.0)], "{average}");
        fs::remove_dir_all(host.path("sys/devices")).unwrap();
    }
    let charge = |files: &[(&str, &str)]| {
        let host = Host::new();
        let files = [&[("type", "Battery")], files].concat();
        host.register("power_supply", "platform/power_supply/BAT0", &files);
        let found = values(&run(&mut host.sampler(), 0), "power_supply");
        found.first().map(|(_, charge)| *charge)
    };
    for files in [
        &[("capacity", "101"), ("energy_now", "20"), ("energy_full", "40")][..],
        &[("capacity", "x"), ("charge_now", "20"), ("charge_full", "40")],
        &[
            ("energy_now", "-20"),
            ("energy_full", "40"),
            ("charge_now", "20"),
            ("charge_full", "40"),
        ],
    ] {
        assert_eq!(charge(files), Some(0.5), "{files:?}");
    }
    assert_eq!(charge(&[("capacity", "101")]), None);
}

#[test]
fn a_temperature_that_has_no_value_has_no_limit() {
    let host = Host::new();
    for (number, temp) in ["-273200", "garbage", "45000"].into_iter().enumerate() {
        let zone = format!("virtual/thermal/thermal_zone{number}");
        let files = [
            ("type", "acpitz"),
            ("temp", temp),
            ("trip_point_0_type", "critical"),
            ("trip_point_0_temp", "105000"),
        ];
        host.register("thermal", &zone, &files);
        let device = format!("platform/lm75.{number}");
        host.chip(
            &device,
            number as u32,
            "lm75",
            &[("temp1_input", temp), ("temp1_crit", "90000")],
        );
    }
    let batches = run(&mut host.sampler(), 0);
    assert_eq!(
        values(&batches, "thermal"),
        [
            ("hw.temperature acpitz".to_owned(), 45.0),
            ("hw.temperature.limit acpitz high.critical".to_owned(), 105.0)
        ]
    );
    assert_eq!(values(&batches, "hwmon").len(), 2);
}
