//! Chips of hwmon.

use std::fs;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

use super::host::{Host, points, run, values};
use crate::settings::Settings;

const BOARD: &str = "platform/nct6775.656";

#[test]
fn each_kind_of_channel_comes_in_its_unit_with_its_limits_and_state() {
    let host = Host::new();
    let files = [
        ("temp1_input", "45500"),
        ("temp1_label", "SYSTIN"),
        ("temp1_crit", "100000"),
        ("temp1_max", "0"),
        ("temp1_crit_alarm", "0"),
        ("in0_input", "1232"),
        ("in0_label", "Vcore"),
        ("fan2_input", "1420"),
        ("fan2_alarm", "1"),
        ("fan3_input", "0"),
        ("fan3_fault", "1"),
        ("curr1_input", "1500"),
        ("power1_input", "7000000"),
        ("power1_average", "8000000"),
        ("energy1_input", "5000000"),
        ("pwm1", "255"),
        ("in0_beep", "0"),
        ("temp01_input", "1"),
        ("temp_input", "1"),
    ];
    host.chip(BOARD, 3, "nct6775", &files);
    let batches = run(&mut host.sampler(), 0);
    let expected = [
        ("hw.current nct6775/curr1", 1.5),
        ("hw.energy nct6775/energy1 board", 0.0),
        ("hw.fan.speed nct6775/fan2", 1420.0),
        ("hw.power nct6775/power1 board", 8.0),
        ("hw.status nct6775/SYSTIN temperature degraded", 0.0),
        ("hw.status nct6775/SYSTIN temperature failed", 0.0),
        ("hw.status nct6775/SYSTIN temperature ok", 1.0),
        ("hw.status nct6775/fan2 fan degraded", 1.0),
        ("hw.status nct6775/fan2 fan failed", 0.0),
        ("hw.status nct6775/fan2 fan ok", 0.0),
        ("hw.status nct6775/fan3 fan degraded", 0.0),
        ("hw.status nct6775/fan3 fan failed", 1.0),
        ("hw.status nct6775/fan3 fan ok", 0.0),
        ("hw.temperature nct6775/SYSTIN", 45.5),
        ("hw.temperature.limit nct6775/SYSTIN high.critical", 100.0),
        ("hw.voltage nct6775/Vcore", 1.232),
    ];
    assert_eq!(
        values(&batches, "hwmon"),
        expected.map(|(series, value)| (series.to_owned(), value))
    );
    let temperature = points(&batches, "hwmon", hw::TEMPERATURE.name)[0].1;
    assert_eq!(temperature.attributes.text(key::HW_SENSOR_LOCATION), Some("SYSTIN"));
}

#[test]
fn sentinels_and_impossible_values_are_absent_and_their_neighbours_are_not() {
    let host = Host::new();
    let files = [
        ("power1_average", "4294967295000"),
        ("power2_average", "2147483647000000"),
        ("temp1_input", "-128000"),
        ("temp2_input", "127875"),
        ("temp3_input", "9999999999999999999999999999999999999999999999"),
        ("temp4_input", ""),
        ("temp5_input", "45 C"),
        ("fan1_input", "65535"),
        ("fan2_input", "-1"),
        ("in0_input", "0"),
    ];
    host.chip(BOARD, 0, "x", &files);
    host.write_bytes(
        "sys/devices/platform/nct6775.656/hwmon/hwmon0/temp6_input",
        &[b'1'; 5000],
    );
    host.write_bytes(
        "sys/devices/platform/nct6775.656/hwmon/hwmon0/temp7_input",
        b"\xff\xfe\x00",
    );
    let values = values(&run(&mut host.sampler(), 0), "hwmon");
    assert_eq!(values, [("hw.voltage x/in0".to_owned(), 0.0)]);
}

#[test]
fn an_id_stays_with_its_device_when_the_numbers_move() {
    let ids = |first: (u32, &str), second: (u32, &str)| {
        let host = Host::new();
        for ((number, bus), address, value) in [(first, "0048", "20000"), (second, "0049", "30000")] {
            let device = format!("pci0000:00/0000:00:1f.4/{bus}/{}-{address}", &bus[4..]);
            host.chip(&device, number, "tmp102", &[("temp1_input", value)]);
        }
        let batches = run(&mut host.sampler(), 0);
        let mut ids: Vec<(String, String)> = points(&batches, "hwmon", hw::TEMPERATURE.name)
            .iter()
            .map(|(_, point)| {
                let id = point.attributes.text(key::HW_ID).unwrap().to_owned();
                (point.value.as_f64().unwrap().to_string(), id)
            })
            .collect();
        ids.sort();
        ids
    };
    let before = ids((0, "i2c-5"), (1, "i2c-5"));
    assert_eq!(before, ids((7, "i2c-9"), (2, "i2c-9")));
    assert_ne!(before[0].1, before[1].1);
}

#[test]
fn two_chips_at_what_looks_like_one_place_have_two_ids() {
    let host = Host::new();
    for bus in [3, 4] {
        let device = format!("pci0000:00/0000:00:1f.4/i2c-{bus}/{bus}-004c");
        host.chip(&device, bus, "lm75", &[("temp1_input", "20000")]);
    }
    let batches = run(&mut host.sampler(), 0);
    let found = points(&batches, "hwmon", hw::TEMPERATURE.name);
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].1.attributes, found[1].1.attributes);
}

#[test]
fn accelerators_disks_zones_and_batteries_are_left_to_others() {
    let host = Host::new();
    let temperature = [("temp1_input", "40000")];
    for (number, device, name) in [
        (0, "pci0000:00/0000:03:00.0", "amdgpu"),
        (1, "pci0000:00/0000:04:00.0", "xe"),
        (2, "pci0000:00/0000:05:00.0", "unheard_of_accelerator"),
        (3, "pci0000:00/0000:06:00.0", "unheard_of_gpu"),
        (4, "pci0000:00/0000:07:00.0/ata1/0:0:0:0", "drivetemp"),
        (5, "virtual/thermal/thermal_zone0", "acpitz"),
        (6, "LNXSYSTM:00/power_supply/BAT0", "BAT0"),
        (7, "usb1/0003:046D/power_supply/hidpp_battery_0", "hidpp_battery_0"),
        (8, "pci0000:00/0000:08:00.0/nvme/nvme0", "nvme"),
        (9, "platform/xe_like", "xe_board"),
    ] {
        host.chip(device, number, name, &temperature);
    }
    host.write("sys/devices/pci0000:00/0000:05:00.0/class", "0x120000");
    host.write("sys/devices/pci0000:00/0000:06:00.0/class", "0x030200");
    host.write("sys/devices/pci0000:00/0000:08:00.0/class", "0x010802");
    let values = values(&run(&mut host.sampler(), 0), "hwmon");
    let names: Vec<_> = values.iter().map(|(series, _)| series.as_str()).collect();
    assert_eq!(names, ["hw.temperature nvme/temp1", "hw.temperature xe_board/temp1"]);
}

#[test]
fn a_suspended_device_is_not_read_and_one_that_wakes_is() {
    let host = Host::new();
    let device = "pci0000:00/0000:02:00.0";
    host.chip(device, 0, "r8169", &[("temp1_input", "40000")]);
    let state = format!("sys/devices/{device}/power/runtime_status");
    let mut sampler = host.sampler();
    for (now, count) in [("suspended", 0), ("active", 1), ("suspending", 0)] {
        host.write(&state, now);
        assert_eq!(values(&run(&mut sampler, 0), "hwmon").len(), count, "{now}");
    }
}

#[test]
fn a_meter_of_the_whole_machine_contains_the_powers_of_its_parts() {
    let host = Host::new();
    host.chip(
        "LNXSYSTM:00/ACPI000D:00",
        0,
        "power_meter",
        &[("power1_average", "300000000")],
    );
    host.chip(BOARD, 1, "ina226", &[("power1_input", "20000000")]);
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    host.write(
        "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/energy_uj",
        1_001_000_000,
    );
    let batches = run(&mut sampler, 10);
    let powers: Vec<_> = ["hwmon", "rapl"]
        .into_iter()
        .flat_map(|part| points(&batches, part, hw::POWER.name))
        .collect();
    assert_eq!(powers.len(), 3);
    let meter = powers.iter().find(|(name, _)| *name == "power_meter/power1").unwrap().1;
    assert_eq!(meter.attributes.text(key::HW_TYPE), Some("enclosure"));
    for (name, point) in &powers {
        let parent = point.attributes.text(key::HW_PARENT);
        let is_meter = *name == "power_meter/power1";
        assert_eq!(
            parent,
            (!is_meter).then(|| meter.attributes.text(key::HW_ID).unwrap()),
            "{name}"
        );
    }
    let energy = points(&batches, "rapl", hw::ENERGY.name)[0].1;
    assert_eq!(
        energy.attributes.get(key::HW_PARENT),
        None,
        "the meter counts no energy"
    );
    host.remove("hwmon", "LNXSYSTM:00/ACPI000D:00/hwmon/hwmon0");
    let batches = run(&mut sampler, 20);
    assert_eq!(
        points(&batches, "hwmon", hw::POWER.name)[0]
            .1
            .attributes
            .get(key::HW_PARENT),
        None
    );
}

#[test]
fn what_rapl_counts_is_not_told_again() {
    let host = Host::new();
    let files = [("power1_average", "50000000"), ("temp1_input", "60000")];
    host.chip("pci0000:00/0000:00:18.4", 0, "fam15h_power", &files);
    host.chip(
        "platform/amd_energy.0",
        1,
        "amd_energy",
        &[("energy1_input", "5000000"), ("energy1_label", "Esocket0")],
    );
    assert_eq!(values(&run(&mut host.sampler(), 0), "hwmon").len(), 3);
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    let found = values(&run(&mut host.sampler(), 0), "hwmon");
    assert_eq!(found, [("hw.temperature fam15h_power/temp1".to_owned(), 60.0)]);
}

#[test]
fn cores_are_read_where_they_are_asked_for() {
    let host = Host::new();
    let files = [
        ("temp1_input", "50000"),
        ("temp1_label", "Package id 0"),
        ("temp2_input", "48000"),
        ("temp2_label", "Core 0"),
    ];
    host.chip("platform/coretemp.0", 0, "coretemp", &files);
    assert_eq!(values(&run(&mut host.sampler(), 0), "hwmon").len(), 1);
    let settings = Settings {
        cores: true,
        ..Settings::default()
    };
    assert_eq!(values(&run(&mut host.sampler_with(settings), 0), "hwmon").len(), 2);
}

#[test]
fn chips_and_channels_come_and_go_and_are_no_more_than_are_read() {
    let host = Host::new();
    host.chip(BOARD, 0, "a", &[("temp1_input", "20000"), ("temp2_input", "20000")]);
    let mut sampler = host.sampler();
    assert_eq!(values(&run(&mut sampler, 0), "hwmon").len(), 2);
    host.chip("platform/b", 1, "b", &[("temp1_input", "20000")]);
    fs::remove_file(host.path("sys/class/hwmon/hwmon0/temp2_input")).unwrap();
    let found = values(&run(&mut sampler, 10), "hwmon");
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["hw.temperature a/temp1", "hw.temperature b/temp1"]);
    // Another device under the same number.
    host.remove("hwmon", &format!("{BOARD}/hwmon/hwmon0"));
    host.chip("platform/c", 0, "c", &[("temp1_input", "20000")]);
    for number in 2..60 {
        let files: Vec<(String, &str)> = (1..20).map(|n| (format!("temp{n}_input"), "20000")).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (file.as_str(), *text)).collect();
        host.chip(&format!("platform/many.{number}"), number, "many", &files);
    }
    let found = values(&run(&mut sampler, 20), "hwmon");
    assert_eq!(found.len(), 1024);
    assert_eq!(found[0].0, "hw.temperature b/temp1");
    assert_eq!(found[1].0, "hw.temperature c/temp1");
}

#[test]
fn names_of_odd_bytes_end_where_they_begin() {
    let host = Host::new();
    host.chip(BOARD, 0, "x", &[("temp1_input", "20000"), ("temp2_input", "30000")]);
    host.write_bytes("sys/class/hwmon/hwmon0/temp1_label", b"\xff\xfe one\x1b[2J\n");
    let long = "l".repeat(9000);
    host.write("sys/class/hwmon/hwmon0/temp2_label", &long);
    let batches = run(&mut host.sampler(), 0);
    assert_eq!(points(&batches, "hwmon", hw::TEMPERATURE.name).len(), 2);
    for (name, _) in points(&batches, "hwmon", hw::TEMPERATURE.name) {
        assert!(name.len() <= 256, "{name}");
    }
}
