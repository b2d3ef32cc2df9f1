//! Sensors that do not answer.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::{Level, Sampler as _};
use rustix::fs::{CWD, Mode};

use super::host::{Host, at, points, run, values};
use crate::sampler::Sampler;

/// A FIFO beside an attribute that stands for a driver that does not return: its opening waits for a writer.
const HANGS: &str = "hangs";

/// Does not return where the attribute's device hangs.
pub(crate) fn hang(attribute: &Path) {
    drop(File::open(attribute.with_file_name(HANGS)));
}

/// Longer than a machine stands still.
const HUNG_AFTER: Duration = Duration::from_secs(10);

/// Lets a device hang until what this returns is called.
fn let_hang(host: &Host, device: &str) -> impl FnOnce() {
    let fifo = host.path(&format!("sys/devices/{device}/{HANGS}"));
    rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    move || drop(File::options().write(true).open(&fifo).unwrap())
}

/// Runs until there are points of this part.
fn run_until(sampler: &mut Sampler, part: &str, each: impl Fn(&[Batch])) -> Vec<Batch> {
    let begun = Instant::now();
    let mut seconds = 0;
    loop {
        let mut out = Vec::new();
        sampler.run(|| at(seconds), &mut out);
        each(&out);
        if !values(&out, part).is_empty() {
            return out;
        }
        seconds += 1;
        assert!(begun.elapsed() < Duration::from_mins(2));
    }
}

#[test]
fn a_chip_that_hangs_stops_neither_rapl_nor_the_other_chips() {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    for (number, name) in ["first", "hung", "last"].into_iter().enumerate() {
        let device = format!("platform/{name}");
        host.chip(&device, number as u32, name, &[("temp1_input", "20000")]);
    }
    let end = let_hang(&host, "platform/hung/hwmon/hwmon1");
    let mut sampler = host.sampler().hung_after(HUNG_AFTER);
    let out = run_until(&mut sampler, "hwmon", |out| {
        assert!(!values(out, "rapl").is_empty(), "RAPL is read in each run");
    });
    let names: Vec<_> = values(&out, "hwmon").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["hw.temperature first/temp1", "hw.temperature last/temp1"]);
    let findings = sampler.new_findings().unwrap();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("RAPL (package-0), 3 hwmon chip(s)"), "{lines:?}");
    assert_eq!(findings[1].level, Level::Warn);
    assert!(lines[1].contains("/sys/class/hwmon/hwmon1: "), "{lines:?}");
    assert!(lines[1].ends_with("or set power.hwmon = false"), "{lines:?}");
    assert_eq!((lines.len(), sampler.new_findings()), (2, None));
    end();
}

#[test]
fn where_too_many_hang_doctor_says_that_nothing_is_read_and_why() {
    let host = Host::new();
    let zone = "virtual/thermal/thermal_zone0";
    host.register("thermal", zone, &[("type", "acpitz"), ("temp", "20000")]);
    let battery = "platform/power_supply/BAT0";
    host.register("power_supply", battery, &[("type", "Battery"), ("capacity", "80")]);
    let ends = [zone, battery].map(|device| let_hang(&host, device));
    let mut sampler = host.sampler().hung_after(Duration::ZERO).with_threads(2);
    let begun = Instant::now();
    let mut findings = Vec::new();
    while !findings
        .iter()
        .any(|line: &String| line.contains("no sensors are read"))
    {
        let mut out = Vec::new();
        sampler.run(|| at(0), &mut out);
        assert_eq!(values(&out, "thermal"), []);
        if let Some(new) = sampler.new_findings() {
            findings = new.iter().map(ToString::to_string).collect();
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{findings:?}");
    }
    let [_, all, supplies, thermal] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(all.contains("2 devices do not answer"), "{all}");
    assert!(
        all.ends_with("power.supplies = false and power.thermal = false"),
        "{all}"
    );
    assert!(supplies.contains("BAT0: ") && supplies.ends_with("set power.supplies = false"));
    assert!(thermal.contains("thermal_zone0: ") && thermal.ends_with("set power.thermal = false"));
    for end in ends {
        end();
    }
}

#[test]
fn a_device_that_hangs_gives_its_id_to_no_other() {
    let host = Host::new();
    for (nth, value) in [(0, "20000"), (1, "30000")] {
        let chip = format!("pci0000:00/0000:00:1f.4/i2c-{nth}/{nth}-004c");
        host.chip(&chip, nth, "lm75", &[("temp1_input", value)]);
        let zone = format!("virtual/thermal/thermal_zone{nth}");
        host.register("thermal", &zone, &[("type", "acpitz"), ("temp", value)]);
    }
    let ids = |batches: &[Batch]| {
        ["hwmon", "thermal"].map(|part| {
            let found = points(batches, part, hw::TEMPERATURE.name);
            let second = found.iter().find(|(_, point)| point.value.as_f64() == Some(30.0));
            second.unwrap().1.attributes.text(key::HW_ID).unwrap().to_owned()
        })
    };
    let before = ids(&run(&mut host.sampler(), 0));
    let ends = [
        "pci0000:00/0000:00:1f.4/i2c-0/0-004c/hwmon/hwmon0",
        "virtual/thermal/thermal_zone0",
    ]
    .map(|device| let_hang(&host, device));
    let mut sampler = host.sampler().hung_after(HUNG_AFTER);
    let out = run_until(&mut sampler, "thermal", |_| {});
    assert_eq!(points(&out, "hwmon", hw::TEMPERATURE.name).len(), 1);
    assert_eq!(ids(&out), before);
    for end in ends {
        end();
    }
}
