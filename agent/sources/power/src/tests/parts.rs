//! What contains what: channels of one chip, and meters of the machine.

use std::collections::BTreeMap;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, key};

use super::host::{Host, points, run, values};
use crate::settings::Settings;

/// Writes a chip's channels of one family: label and value, in millionths.
fn channels(host: &Host, number: u32, chip: &str, family: &str, labelled: &[(&str, u64)]) {
    let device = format!("platform/{chip}.{number}");
    let files: Vec<[(String, String); 2]> = (1..)
        .zip(labelled)
        .map(|(nth, (label, value))| {
            [
                (format!("{family}{nth}_label"), (*label).to_owned()),
                (format!("{family}{nth}_input"), value.to_string()),
            ]
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .flatten()
        .map(|(file, text)| (file.as_str(), text.as_str()))
        .collect();
    host.chip(&device, number, chip, &files);
}

/// Sum of the roots of each `hw.type`.
fn roots(batches: &[Batch], instrument: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (_, point) in points(batches, "hwmon", instrument) {
        if point.attributes.get(key::HW_PARENT).is_none() {
            let kind = point.attributes.text(key::HW_TYPE).unwrap().to_owned();
            *sums.entry(kind).or_default() += point.value.as_f64().unwrap();
        }
    }
    sums
}

#[test]
fn a_sum_of_the_roots_of_a_chip_counts_nothing_twice() {
    const WATT: u64 = 1_000_000;
    for (chip, labelled, kind, watts) in [
        (
            "corsairpsu",
            &[
                ("power total", 400 * WATT),
                ("power +12v", 330 * WATT),
                ("power +5v", 50 * WATT),
            ][..],
            "power_supply",
            400.0,
        ),
        (
            "dps920ab",
            &[("pin", 330 * WATT), ("pout1", 300 * WATT)],
            "power_supply",
            330.0,
        ),
        ("lm25066", &[("pout1", 90 * WATT), ("pin", 100 * WATT)], "board", 100.0),
        (
            "xdpe12284",
            &[
                ("pin1", 100 * WATT),
                ("pin2", 50 * WATT),
                ("pout1", 90 * WATT),
                ("pout1.1", 45 * WATT),
                ("pout2", 45 * WATT),
            ],
            "board",
            150.0,
        ),
        (
            "ibmpowernv",
            &[("System", 900 * WATT), ("Proc 0", 200 * WATT), ("GPU", 600 * WATT)],
            "enclosure",
            900.0,
        ),
        (
            "occ",
            &[("0_proc", 200 * WATT), ("0_vdd", 90 * WATT), ("system", 900 * WATT)],
            "enclosure",
            900.0,
        ),
        // The whole has no value: its parts are the roots, and none of theirs.
        (
            "dps920ab",
            &[("pin", u64::MAX), ("pout1", 300 * WATT)],
            "power_supply",
            300.0,
        ),
        (
            "occ",
            &[("0_proc", 200 * WATT), ("0_vdd", 90 * WATT), ("system", u64::MAX)],
            "board",
            200.0,
        ),
    ] {
        let host = Host::new();
        channels(&host, 0, chip, "power", labelled);
        let found = roots(&run(&mut host.sampler(), 0), hw::POWER.name);
        assert_eq!(found, [(kind.to_owned(), watts)].into(), "{chip}");
    }
}

#[test]
fn the_machine_of_powernv_contains_the_energy_of_its_parts_and_the_power_of_all() {
    let host = Host::new();
    channels(
        &host,
        0,
        "ibmpowernv",
        "energy",
        &[("System", 9_000_000), ("Chip 0", 2_000_000)],
    );
    channels(
        &host,
        1,
        "ibmpowernv",
        "power",
        &[("System", 900_000_000), ("Chip 0", 200_000_000)],
    );
    channels(&host, 2, "ina226", "power", &[("rail", 20_000_000)]);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    host.write("sys/class/hwmon/hwmon0/energy1_input", 12_000_000);
    host.write("sys/class/hwmon/hwmon0/energy2_input", 4_000_000);
    let batches = run(&mut sampler, 10);
    assert_eq!(roots(&batches, hw::ENERGY.name), [("enclosure".to_owned(), 3.0)].into());
    assert_eq!(
        roots(&batches, hw::POWER.name),
        [("enclosure".to_owned(), 900.0)].into()
    );
}

#[test]
fn of_several_meters_of_the_machine_none_is_a_parent_or_has_one() {
    let host = Host::new();
    let meter = |number: u32, power: &str| {
        let device = format!("LNXSYSTM:00/ACPI000D:0{number}");
        host.chip(&device, number, "power_meter", &[("power1_average", power)]);
    };
    // One that never has a value is none.
    meter(0, "4294967295000");
    meter(1, "350000000");
    channels(&host, 2, "ina226", "power", &[("rail", 20_000_000)]);
    let mut sampler = host.sampler();
    let parents = |batches: &[Batch]| {
        let powers = points(batches, "hwmon", hw::POWER.name);
        let parts = powers
            .iter()
            .filter(|(_, point)| point.attributes.get(key::HW_PARENT).is_some());
        (
            powers.len(),
            parts.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(parents(&run(&mut sampler, 0)), (2, vec!["ina226/rail".to_owned()]));
    meter(3, "200000000");
    assert_eq!(parents(&run(&mut sampler, 10)), (3, Vec::new()));
    // One of them without a value for a moment: the other contains no more than before.
    host.write("sys/class/hwmon/hwmon3/power1_average", "4294967295000");
    assert_eq!(parents(&run(&mut sampler, 20)), (2, Vec::new()));
}

const SOCKET: &str = "sys/class/hwmon/hwmon0/energy3_input";

/// A chip of AMD's with two cores, each of which uses 2 J, and sockets, which use 10 J each.
fn amd(sockets: &[(&str, u64)]) -> Host {
    let host = Host::new();
    let cores = [("Ecore000", 1_000_000), ("Ecore001", 2_000_000)];
    channels(&host, 0, "amd_energy", "energy", &[&cores[..], sockets].concat());
    host
}

fn grow(host: &Host, sockets: u64) {
    host.write("sys/class/hwmon/hwmon0/energy1_input", 3_000_000);
    host.write("sys/class/hwmon/hwmon0/energy2_input", 4_000_000);
    for nth in 0..sockets {
        host.write(&format!("sys/class/hwmon/hwmon0/energy{}_input", 3 + nth), 14_000_000);
    }
}

fn with_cores() -> Settings {
    Settings {
        cores: true,
        ..Settings::default()
    }
}

#[test]
fn the_energy_of_amd_is_that_of_its_sockets() {
    let one = [("Esocket0", 10_000_000)];
    let two = [("Esocket0", 10_000_000), ("Esocket1", 10_000_000)];
    for (sockets, settings, count) in [
        (&one[..], Settings::default(), 1),
        (&one, with_cores(), 3),
        (&two, Settings::default(), 2),
        (&two, with_cores(), 2),
    ] {
        let host = amd(sockets);
        let mut sampler = host.sampler_with(settings);
        run(&mut sampler, 0);
        grow(&host, sockets.len() as u64);
        let batches = run(&mut sampler, 10);
        let sum = 4.0 * sockets.len() as f64;
        assert_eq!(roots(&batches, hw::ENERGY.name), [("cpu".to_owned(), sum)].into());
        assert_eq!(points(&batches, "hwmon", hw::ENERGY.name).len(), count);
    }
}

#[test]
fn cores_of_amd_without_a_socket_that_is_read_are_nobodys_energy() {
    let host = amd(&[("Esocket0", 10_000_000)]);
    host.write(SOCKET, "no number");
    let mut sampler = host.sampler_with(with_cores());
    run(&mut sampler, 0);
    grow(&host, 0);
    assert_eq!(values(&run(&mut sampler, 10), "hwmon"), []);
    host.write(SOCKET, 10_000_000);
    let found = values(&run(&mut sampler, 20), "hwmon");
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "hw.energy amd_energy/Ecore000 cpu",
            "hw.energy amd_energy/Ecore001 cpu",
            "hw.energy amd_energy/Esocket0 cpu"
        ]
    );
}

#[test]
fn no_processor_draws_more_than_a_package_can() {
    let host = Host::new();
    channels(&host, 0, "smpro", "power", &[("CPU power", 4_080_000_000)]);
    channels(&host, 1, "sbrmi", "power", &[("", 1_900_000_000)]);
    channels(&host, 2, "ina226", "power", &[("rail", 4_080_000_000)]);
    assert_eq!(
        values(&run(&mut host.sampler(), 0), "hwmon"),
        [
            ("hw.power ina226/rail board".to_owned(), 4080.0),
            ("hw.power sbrmi/power1 cpu".to_owned(), 1900.0)
        ]
    );
}
