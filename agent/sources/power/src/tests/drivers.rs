//! Zones of RAPL whose energy cannot be read, by one driver or by all, or never moves.

use std::fs;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::Level;

use super::host::{Host, points, run};
use crate::explain::explain;
use crate::settings::Settings;

const PREFERRED: &str = "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0";
const OTHER: &str = "sys/devices/virtual/powercap/intel-rapl-mmio/intel-rapl-mmio:0/energy_uj";

/// A package by two drivers, and its cores by the preferred one.
fn host() -> Host {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    host.zone("intel-rapl", "intel-rapl:0/", "intel-rapl:0:0", "core", 1_000_000);
    host.zone("intel-rapl-mmio", "", "intel-rapl-mmio:0", "package-0", 1_000_000);
    host
}

/// Lets the preferred driver's file have no energy in it.
fn spoil(host: &Host, with: &str) {
    let path = format!("{PREFERRED}/energy_uj");
    match with {
        "a directory" => {
            fs::remove_file(host.path(&path)).unwrap();
            fs::create_dir(host.path(&path)).unwrap();
        }
        "nothing" => fs::remove_file(host.path(&path)).unwrap(),
        text => host.write(&path, text),
    }
}

/// Joules of the package, and whether the cores are a part of it.
fn package(batches: &[Batch]) -> (Option<f64>, bool) {
    let energies = points(batches, "rapl", hw::ENERGY.name);
    let of = |name: &str| Some(energies.iter().find(|(found, _)| *found == name)?.1);
    let parent = of("package-0/core").unwrap().attributes.text(key::HW_PARENT);
    let package = of("package-0");
    let id = package.and_then(|point| point.attributes.text(key::HW_ID));
    (
        package.and_then(|point| point.value.as_f64()),
        parent.is_some() && parent == id,
    )
}

fn findings(host: &Host) -> Vec<(Level, String)> {
    let findings = explain(&host.roots(), &Settings::default());
    findings.iter().map(|one| (one.level, one.to_string())).collect()
}

const SPOILT: [&str; 5] = ["a directory", "junk", "", "-1", "262143328851"];

#[test]
fn what_the_preferred_driver_cannot_tell_is_read_by_the_other() {
    for with in SPOILT {
        let host = host();
        spoil(&host, with);
        let mut sampler = host.sampler();
        run(&mut sampler, 0);
        host.write(OTHER, 51_000_000);
        assert_eq!(package(&run(&mut sampler, 10)), (Some(50.0), true), "{with}");
        let found = findings(&host);
        assert!(found[0].1.contains("RAPL (package-0, package-0/core)"), "{found:?}");
        assert_eq!(found[1].0, Level::Warn);
        let text = "package-0 (intel-rapl:0: ";
        assert!(
            found[1].1.contains(text) && found[1].1.contains("; intel-rapl-mmio:0 is read instead) -> look at"),
            "{found:?}"
        );
    }
}

#[test]
fn a_driver_that_fails_for_good_makes_way_for_the_other_and_not_for_a_moment() {
    for with in SPOILT.into_iter().chain(["nothing"]) {
        let host = host();
        let mut sampler = host.sampler();
        run(&mut sampler, 0);
        spoil(&host, with);
        // The count may go on yet.
        for seconds in [10, 20] {
            assert_eq!(package(&run(&mut sampler, seconds)).0, None, "{with}");
        }
        assert_eq!(package(&run(&mut sampler, 30)), (Some(0.0), true), "{with}");
        host.write(OTHER, 51_000_000);
        assert_eq!(package(&run(&mut sampler, 40)), (Some(50.0), true), "{with}");
    }
}

#[test]
fn a_zone_without_a_series_is_no_parent_and_named_with_why() {
    for (with, why) in [
        ("junk", "no number is in it"),
        ("-1", "what is in it stands for no value"),
        ("a directory", "the driver fails"),
        ("262143328851", "more is in it than there can be"),
    ] {
        let host = host();
        host.remove("powercap", "virtual/powercap/intel-rapl-mmio/intel-rapl-mmio:0");
        let mut sampler = host.sampler();
        assert_eq!(package(&run(&mut sampler, 0)), (Some(0.0), true));
        spoil(&host, with);
        for seconds in [10, 20, 30] {
            run(&mut sampler, seconds);
        }
        let batches = run(&mut sampler, 40);
        assert_eq!(package(&batches).0, None);
        let energies = points(&batches, "rapl", hw::ENERGY.name);
        assert_eq!(energies[0].1.attributes.get(key::HW_PARENT), None, "{with}");
        let found = findings(&host);
        assert_eq!(
            found[0],
            (Level::Ok, found[0].1.clone()),
            "the cores are read all the same"
        );
        assert!(found[0].1.contains("RAPL (package-0/core)"), "{found:?}");
        let text = format!("package-0 (intel-rapl:0: {why})");
        assert!(found[1].0 == Level::Warn && found[1].1.contains(&text), "{found:?}");
    }
}

#[test]
fn counters_that_are_zero_count_nothing_and_doctor_says_so() {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 0);
    host.zone("intel-rapl", "intel-rapl:0/", "intel-rapl:0:0", "dram", 0);
    let mut sampler = host.sampler();
    for seconds in [0, 10, 20, 30, 40] {
        let batches = run(&mut sampler, seconds);
        assert_eq!(points(&batches, "rapl", hw::ENERGY.name).len(), 0);
    }
    let found = findings(&host);
    assert_eq!((found.len(), found[0].0), (1, Level::Warn), "{found:?}");
    let text =
        "RAPL counts nothing for package-0, package-0/dram: the counter stays 0, as those of virtual machines do";
    assert!(found[0].1.contains(text), "{found:?}");

    // A platform that is not wired is not the agent's to warn of, and unused graphics are as they should be.
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    host.zone("intel-rapl", "intel-rapl:0/", "intel-rapl:0:1", "uncore", 0);
    host.zone("intel-rapl", "", "intel-rapl:1", "psys", 0);
    let found = findings(&host);
    assert!(found.iter().all(|(level, _)| *level != Level::Warn), "{found:?}");
    assert!(found[0].1.contains("RAPL (package-0, package-0/uncore)"), "{found:?}");
    assert!(found[1].1.contains("psys: the counter is 0"), "{found:?}");
}

#[test]
fn no_zone_grows_faster_than_is_divided() {
    for (watts, is_told) in [(15_000, true), (25_000, false)] {
        let host = Host::new();
        host.zone("intel-rapl", "", "intel-rapl:0", "psys", 1_000_000);
        let zone = |file: &str| format!("{PREFERRED}/{file}");
        host.write(&zone("max_energy_range_uj"), 4_294_967_295_000_000_u64);
        let mut sampler = host.sampler();
        run(&mut sampler, 0);
        host.write(&zone("energy_uj"), 1_000_000 + 10 * watts * 1_000_000_u64);
        let batches = run(&mut sampler, 10);
        assert_eq!(points(&batches, "rapl", hw::ENERGY.name).len(), usize::from(is_told));
    }
}
