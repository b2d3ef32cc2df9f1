//! Devices that are removed, come back, or make room for others.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::Outcome;

use super::host::{Host, at, points, run, values};

/// `hw.id` by temperature.
fn ids(batches: &[Batch], part: &str) -> BTreeMap<i64, String> {
    let found = points(batches, part, hw::TEMPERATURE.name);
    let id = found.iter().map(|(_, point)| {
        let degrees = point.value.as_f64().unwrap() as i64;
        (degrees, point.attributes.text(key::HW_ID).unwrap().to_owned())
    });
    id.collect()
}

fn supply(host: &Host, bus: u32, number: u32, degrees: u32) -> String {
    let device = format!("pci0000:00/0000:00:1f.4/i2c-{bus}/{bus}-0058");
    let raw = (degrees * 1000).to_string();
    host.chip(&device, number, "psu", &[("temp1_input", &raw)]);
    format!("{device}/hwmon/hwmon{number}")
}

fn zone(host: &Host, number: u32, degrees: u32) -> String {
    let device = format!("virtual/thermal/thermal_zone{number}");
    let raw = (degrees * 1000).to_string();
    host.register("thermal", &device, &[("type", "acpitz"), ("temp", &raw)]);
    device
}

#[test]
fn a_device_keeps_its_id_when_others_of_its_place_go_and_come() {
    let host = Host::new();
    let chips: Vec<String> = (0..3).map(|nth| supply(&host, nth, nth, 40 + nth)).collect();
    let zones: Vec<String> = (0..3).map(|nth| zone(&host, nth, 40 + nth)).collect();
    let mut sampler = host.sampler();
    let parts = ["hwmon", "thermal"];
    let mut look = |seconds| {
        let batches = run(&mut sampler, seconds);
        parts.map(|part| ids(&batches, part))
    };
    let before = look(0);
    host.remove("hwmon", &chips[0]);
    host.remove("thermal", &zones[0]);
    // Something is new, so that all are looked through.
    host.chip("platform/other", 9, "other", &[("temp1_input", "90000")]);
    for (now, before) in look(10).iter().zip(&before) {
        assert_eq!((&now[&41], &now[&42]), (&before[&41], &before[&42]));
    }
    // Another device, at another path of the same stable place.
    supply(&host, 7, 0, 50);
    zone(&host, 7, 50);
    for (now, before) in look(20).iter().zip(&before) {
        assert!(!before.values().any(|id| *id == now[&50]), "a new one");
        assert_eq!((&now[&41], &now[&42]), (&before[&41], &before[&42]));
    }
    // The first comes back to where it was.
    fs::remove_dir_all(host.path("sys/devices/pci0000:00/0000:00:1f.4/i2c-0")).unwrap();
    supply(&host, 0, 5, 40);
    zone(&host, 0, 40);
    for (now, before) in look(30).iter().zip(&before) {
        assert_eq!(now[&40], before[&40]);
    }
}

#[test]
fn a_battery_that_takes_the_place_of_another_is_another() {
    let host = Host::new();
    let device = "platform/power_supply/BAT0";
    let register = |serial: &str, more: &[(&str, &str)]| {
        let files = [
            &[("type", "Battery"), ("capacity", "50"), ("serial_number", serial)],
            more,
        ]
        .concat();
        host.register("power_supply", device, &files);
    };
    let seen = |batches: &[Batch]| {
        let charge = points(batches, "power_supply", "hw.battery.charge");
        let id = charge.first().map(|(_, point)| point.attributes.text(key::HW_ID));
        (id.flatten().map(str::to_owned), values(batches, "power_supply").len())
    };
    register("AAA", &[]);
    let mut sampler = host.sampler();
    let before = seen(&run(&mut sampler, 0));
    assert_eq!(before.1, 1);
    host.remove("power_supply", device);
    register("BBB", &[("voltage_now", "11000000")]);
    let after = seen(&run(&mut sampler, 10));
    assert_eq!(after.1, 2, "with its voltage");
    assert_ne!(after.0, before.0);
}

#[test]
fn a_battery_that_is_put_into_an_empty_bay_is_seen_with_all_it_has() {
    let host = Host::new();
    let device = "platform/power_supply/BAT0";
    let file = |name: &str| format!("sys/devices/{device}/{name}");
    host.register("power_supply", device, &[("type", "Battery"), ("present", "0")]);
    let mut sampler = host.sampler();
    assert_eq!(values(&run(&mut sampler, 0), "power_supply"), []);
    let mut ids = Vec::new();
    for (serial, charge) in [("AAA", "77"), ("BBB", "33")] {
        for (name, text) in [("serial_number", serial), ("capacity", charge), ("present", "1")] {
            host.write(&file(name), text);
        }
        let batches = run(&mut sampler, 10);
        let found = points(&batches, "power_supply", "hw.battery.charge");
        assert_eq!(found.len(), 1, "{serial}");
        ids.push(found[0].1.attributes.text(key::HW_ID).unwrap().to_owned());
        host.write(&file("present"), "0");
        assert_eq!(values(&run(&mut sampler, 20), "power_supply"), []);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn where_nothing_is_left_the_series_end_with_that_run() {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    let chip = supply(&host, 0, 0, 40);
    let mut sampler = host.sampler();
    let told = run(&mut sampler, 0);
    assert!(["rapl", "hwmon"].iter().all(|part| !values(&told, part).is_empty()));
    host.remove("powercap", "virtual/powercap/intel-rapl/intel-rapl:0");
    host.remove("hwmon", &chip);
    // The sensors may come a run later.
    let begun = Instant::now();
    let ended = loop {
        let mut out = Vec::new();
        if let Outcome::NothingHere(_) = sampler.run(|| at(10), &mut out) {
            break out;
        }
        assert!(begun.elapsed() < Duration::from_mins(2));
    };
    assert!(ended.iter().all(|batch| batch.points.is_empty()));
    let parts: Vec<&str> = ended.iter().map(|batch| &*batch.part.name).collect();
    assert_eq!(parts, ["hwmon", "rapl"]);
    let mut out = Vec::new();
    sampler.run(|| at(20), &mut out);
    assert!(out.is_empty(), "told once");
}
