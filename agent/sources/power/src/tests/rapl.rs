//! Zones of RAPL.

use std::fs;
use std::os::unix::fs::symlink;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::{Finding, Level, Outcome};

use super::host::{Host, at, points, run, values};
use crate::explain::explain;
use crate::settings::Settings;

const ENERGY: &str = "sys/devices/virtual/powercap/intel-rapl";

/// Two packages with parts and memory, and the platform.
fn server(psys: bool) -> Host {
    let host = Host::new();
    for package in 0..2 {
        let zone = format!("intel-rapl:{package}");
        host.zone("intel-rapl", "", &zone, &format!("package-{package}"), 1_000_000);
        for (number, part) in ["core", "uncore", "dram"].iter().enumerate() {
            host.zone(
                "intel-rapl",
                &format!("{zone}/"),
                &format!("{zone}:{number}"),
                part,
                1_000_000,
            );
        }
    }
    if psys {
        host.zone("intel-rapl", "", "intel-rapl:2", "psys", 1_000_000);
    }
    host
}

fn add(host: &Host, zone: &str, joules: u64) {
    let path = format!("{ENERGY}/{zone}/energy_uj");
    let before: u64 = fs::read_to_string(host.path(&path)).unwrap().trim().parse().unwrap();
    host.write(&path, before + joules * 1_000_000);
}

fn sum_of_roots(batches: &[Batch]) -> f64 {
    let energies = points(batches, "rapl", hw::ENERGY.name);
    let roots = energies
        .iter()
        .filter(|(_, point)| point.attributes.get(key::HW_PARENT).is_none());
    roots.map(|(_, point)| point.value.as_f64().unwrap()).sum()
}

#[test]
fn energy_is_counted_by_zone_and_a_sum_of_the_roots_counts_nothing_twice() {
    for (psys, sum) in [(false, 2.0 * (100.0 + 30.0)), (true, 500.0)] {
        let host = server(psys);
        let mut sampler = host.sampler();
        run(&mut sampler, 100);
        for package in ["intel-rapl:0", "intel-rapl:1"] {
            add(&host, package, 100);
            for (part, joules) in [(0, 60), (1, 5), (2, 30)] {
                add(&host, &format!("{package}/{package}:{part}"), joules);
            }
        }
        if psys {
            add(&host, "intel-rapl:2", 500);
        }
        let batches = run(&mut sampler, 110);
        let values = values(&batches, "rapl");
        for (series, value) in [
            ("hw.energy package-0 cpu", 100.0),
            ("hw.energy package-1/core cpu", 60.0),
            ("hw.energy package-1/dram memory", 30.0),
            ("hw.power package-0 cpu", 10.0),
            ("hw.power package-0/uncore cpu", 0.5),
        ] {
            assert!(values.contains(&(series.to_owned(), value)), "{series}: {values:#?}");
        }
        assert!((sum_of_roots(&batches) - sum).abs() < 1e-9, "{values:#?}");
        let energies = points(&batches, "rapl", hw::ENERGY.name);
        let start = energies[0].1.start.map(|start| start.unix_nanos() / 1_000_000_000);
        assert_eq!(start, Some(100));
        let of = |name: &str| energies.iter().find(|(found, _)| *found == name).unwrap().1;
        let parent = of("package-1/core").attributes.text(key::HW_PARENT);
        assert_eq!(parent, of("package-1").attributes.text(key::HW_ID));
    }
}

#[test]
fn a_platform_counter_that_never_moves_is_no_parent() {
    let host = server(false);
    host.zone("intel-rapl", "", "intel-rapl:2", "psys", 0);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    for package in ["intel-rapl:0", "intel-rapl:1"] {
        add(&host, package, 100);
    }
    let batches = run(&mut sampler, 10);
    assert!((sum_of_roots(&batches) - 200.0).abs() < 1e-9);
    let energies = points(&batches, "rapl", hw::ENERGY.name);
    assert!(energies.iter().all(|(name, _)| *name != "psys"));
}

#[test]
fn platforms_of_several_packages_contain_each_its_own() {
    let host = Host::new();
    for (zone, name) in [(0, "package-0"), (1, "package-1"), (2, "psys"), (3, "psys-1")] {
        host.zone("intel-rapl", "", &format!("intel-rapl:{zone}"), name, 1_000_000);
    }
    let batches = run(&mut host.sampler(), 0);
    let energies = points(&batches, "rapl", hw::ENERGY.name);
    let of = |name: &str| energies.iter().find(|(found, _)| *found == name).unwrap().1;
    for (package, psys) in [("package-0", "psys"), ("package-1", "psys-1")] {
        let parent = of(package).attributes.text(key::HW_PARENT);
        assert_eq!(parent, of(psys).attributes.text(key::HW_ID));
    }
}

#[test]
fn one_platform_that_counts_is_that_of_all_packages() {
    let host = Host::new();
    for (zone, name, energy) in [
        (0, "package-0", 1),
        (1, "package-1", 1),
        (2, "psys", 1),
        (3, "psys-1", 0),
    ] {
        host.zone("intel-rapl", "", &format!("intel-rapl:{zone}"), name, energy);
    }
    let batches = run(&mut host.sampler(), 0);
    let energies = points(&batches, "rapl", hw::ENERGY.name);
    let roots = energies
        .iter()
        .filter(|(_, point)| point.attributes.get(key::HW_PARENT).is_none());
    assert_eq!(roots.map(|(name, _)| *name).collect::<Vec<_>>(), ["psys"]);
}

#[test]
fn a_platform_that_counts_less_than_its_packages_does_not_contain_them() {
    let host = server(true);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    for (zone, joules) in [("intel-rapl:0", 600), ("intel-rapl:1", 400), ("intel-rapl:2", 30)] {
        add(&host, zone, joules);
    }
    let batches = run(&mut sampler, 10);
    assert!((sum_of_roots(&batches) - 1000.0).abs() < 1e-9);
    let energies = points(&batches, "rapl", hw::ENERGY.name);
    assert!(energies.iter().all(|(name, _)| *name != "psys"));
}

#[test]
fn a_missed_reading_of_what_contains_others_makes_no_roots_of_them() {
    let parents = |batches: &[Batch]| {
        let energies = points(batches, "rapl", hw::ENERGY.name);
        let parent = |name: &str| {
            let of = energies.iter().find(|(found, _)| *found == name)?.1;
            of.attributes.text(key::HW_PARENT).map(str::to_owned)
        };
        [parent("package-1"), parent("package-0/core"), parent("package-0/dram")]
    };
    for missed in ["18446744073709551615", "-1", "no number", "99999999999999999999"] {
        let host = server(true);
        let mut sampler = host.sampler();
        run(&mut sampler, 0);
        let grow = || {
            for (zone, joules) in [("intel-rapl:0", 100), ("intel-rapl:1", 100), ("intel-rapl:2", 500)] {
                add(&host, zone, joules);
            }
            for part in ["intel-rapl:0:0", "intel-rapl:0:2"] {
                add(&host, &format!("intel-rapl:0/{part}"), 60);
            }
        };
        grow();
        let before = parents(&run(&mut sampler, 10));
        assert!(before.iter().all(Option::is_some), "{before:?}");
        for (seconds, zone) in [(20, "intel-rapl:0"), (40, "intel-rapl:2")] {
            grow();
            let path = format!("{ENERGY}/{zone}/energy_uj");
            let energy = fs::read_to_string(host.path(&path)).unwrap();
            host.write(&path, missed);
            assert_eq!(parents(&run(&mut sampler, seconds)), before, "{zone} {missed}");
            host.write_bytes(&path, energy.as_bytes());
            let batches = run(&mut sampler, seconds + 10);
            assert_eq!(parents(&batches), before, "{zone} {missed}");
        }
        // The platform alone, whose missed readings were not for ever.
        assert!((sum_of_roots(&run(&mut sampler, 60)) - 1500.0).abs() < 1e-9);
    }
}

#[test]
fn a_platform_that_was_refused_comes_back_with_no_missed_reading() {
    let host = server(true);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    for (seconds, raw) in [(10, Some("x")), (20, None), (30, Some("-1")), (40, None)] {
        add(&host, "intel-rapl:0", 600);
        add(&host, "intel-rapl:1", 400);
        let path = format!("{ENERGY}/intel-rapl:2/energy_uj");
        let energy = fs::read_to_string(host.path(&path)).unwrap();
        if let Some(raw) = raw {
            host.write(&path, raw);
        }
        let batches = run(&mut sampler, seconds);
        if seconds >= 20 {
            let sum = 100.0 * seconds as f64;
            assert!((sum_of_roots(&batches) - sum).abs() < 1e-9, "{seconds}");
        }
        host.write_bytes(&path, energy.as_bytes());
        add(&host, "intel-rapl:2", 30);
    }
}

#[test]
fn a_package_that_two_drivers_show_is_counted_once() {
    let host = Host::new();
    for driver in ["intel-rapl", "intel-rapl-mmio", "intel-rapl-tpmi"] {
        host.zone(driver, "", &format!("{driver}:0"), "package-0", 1_000_000);
    }
    // Only one of them has the second package.
    host.zone("intel-rapl-mmio", "", "intel-rapl-mmio:1", "package-1", 1_000_000);
    let mut sampler = host.sampler();
    run(&mut sampler, 0);
    host.write(&format!("{ENERGY}/intel-rapl:0/energy_uj"), 51_000_000);
    host.write(&format!("{ENERGY}-mmio/intel-rapl-mmio:0/energy_uj"), 999_000_000);
    let batches = run(&mut sampler, 10);
    let energies: Vec<_> = values(&batches, "rapl");
    let energies: Vec<_> = energies
        .iter()
        .filter(|(name, _)| name.starts_with("hw.energy"))
        .collect();
    assert_eq!(
        energies,
        [
            &("hw.energy package-0 cpu".to_owned(), 50.0),
            &("hw.energy package-1 cpu".to_owned(), 0.0)
        ]
    );
}

#[test]
fn the_core_of_amd_is_one_core_and_not_shown() {
    let host = server(false);
    host.write(
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25",
    );
    let batches = run(&mut host.sampler(), 0);
    let names: Vec<_> = points(&batches, "rapl", hw::ENERGY.name)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(
        names.contains(&"package-0") && !names.contains(&"package-0/core"),
        "{names:?}"
    );
}

#[test]
fn a_wrap_is_counted_and_what_no_wrap_explains_is_no_point() {
    let host = Host::new();
    let energy = format!("{ENERGY}/intel-rapl:0/energy_uj");
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 262_143_000_000);
    let mut sampler = host.sampler();
    let mut readings = Vec::new();
    for (seconds, raw) in [
        (0, "262143000000"),
        (10, "999671150"),
        (20, "262000000000"),
        (30, "262001000000"),
        (40, "no number"),
        (50, "99999999999999999999999999"),
        (60, "262003000000"),
    ] {
        host.write(&energy, raw);
        let batches = run(&mut sampler, seconds);
        readings.push(values(&batches, "rapl").first().map(|(_, joules)| *joules));
    }
    assert_eq!(
        readings,
        [Some(0.0), Some(1000.0), None, Some(1.0), None, None, Some(3.0)]
    );
}

#[test]
fn a_zone_that_appears_begins_and_one_that_vanishes_ends() {
    let host = Host::new();
    host.zone("intel-rapl", "", "intel-rapl:0", "package-0", 1_000_000);
    let mut sampler = host.sampler();
    let names = |batches: &[Batch]| {
        let energies = points(batches, "rapl", hw::ENERGY.name);
        energies
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    run(&mut sampler, 0);
    host.zone("intel-rapl", "", "intel-rapl:1", "package-1", 1_000_000);
    add(&host, "intel-rapl:0", 7);
    let batches = run(&mut sampler, 10);
    assert_eq!(names(&batches), ["package-0", "package-1"]);
    assert!(
        values(&batches, "rapl").contains(&("hw.energy package-0 cpu".to_owned(), 7.0)),
        "it goes on"
    );
    host.remove("powercap", "virtual/powercap/intel-rapl/intel-rapl:0");
    assert_eq!(names(&run(&mut sampler, 20)), ["package-1"]);
}

#[test]
fn names_that_are_no_text_and_more_zones_than_are_read_cost_only_themselves() {
    let host = Host::new();
    for zone in 0..258 {
        host.zone(
            "intel-rapl",
            "",
            &format!("intel-rapl:{zone:x}"),
            &format!("package-{zone}"),
            5,
        );
    }
    host.write_bytes(&format!("{ENERGY}/intel-rapl:0/name"), b"\xff\x1b[2J\n");
    host.write_bytes(&format!("{ENERGY}/intel-rapl:1/name"), b"");
    let energies = run(&mut host.sampler(), 0);
    assert_eq!(points(&energies, "rapl", hw::ENERGY.name).len(), 255);
}

/// Takes from the test's thread the right to read what is not its own; root has it by its capabilities.
fn without_capabilities() {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets).unwrap();
}

#[test]
fn energy_that_must_not_be_read_is_no_permission_and_never_zero() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = server(false);
    without_capabilities();
    let close = |zone: &str| {
        let path = host.path(&format!("{ENERGY}/{zone}/energy_uj"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    };
    ["intel-rapl:0", "intel-rapl:1"].into_iter().for_each(close);
    let batches = run(&mut host.sampler(), 0);
    let names: Vec<_> = points(&batches, "rapl", hw::ENERGY.name)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(
        !names.contains(&"package-0") && names.contains(&"package-0/dram"),
        "{names:?}"
    );
    let findings = explain(&host.roots(), &Settings::default());
    assert!(
        says(&findings, Level::Warn, "package-0, package-1 -> run the agent as root"),
        "{findings:?}"
    );

    // All of it: that is an error with the remedy, and no machine without RAPL.
    for package in 0..2 {
        (0..3).for_each(|part| close(&format!("intel-rapl:{package}/intel-rapl:{package}:{part}")));
    }
    let mut sampler = host.sampler();
    let mut out = Vec::new();
    let Outcome::Retry(error) = sampler.run(|| at(0), &mut out) else {
        panic!("it is there");
    };
    assert!(error.to_string().contains("CAP_DAC_READ_SEARCH"), "{error}");
    assert!(out.iter().all(|batch| batch.points.is_empty()));
}

#[test]
fn a_machine_without_any_of_this_is_one_line_and_no_batch() {
    let host = Host::new();
    let mut out = Vec::new();
    let outcome = host.sampler().run(|| at(0), &mut out);
    assert!(matches!(outcome, Outcome::NothingHere(_)), "{outcome:?}");
    assert!(out.is_empty());
    let findings = explain(&host.roots(), &Settings::default());
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].level, Level::Nothing);
}

#[test]
fn energy_that_cannot_be_divided_for_want_of_control_groups_is_named() {
    let host = server(false);
    fs::remove_dir_all(host.path("sys/fs/cgroup")).unwrap();
    let text = "the energy of processors and memory stays nobody's -> mount the host's /sys/fs/cgroup";
    let undivided = |settings: &Settings| says(&explain(&host.roots(), settings), Level::Warn, text);
    assert!(undivided(&Settings::default()));
    let unasked = Settings {
        attributed: false,
        ..Settings::default()
    };
    assert!(!undivided(&unasked));
    host.write("sys/fs/cgroup/cpuacct/cgroup.procs", "");
    assert!(!undivided(&Settings::default()), "v1");
    fs::remove_dir_all(host.path("sys/fs/cgroup/cpuacct")).unwrap();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    assert!(!undivided(&Settings::default()), "v2");
}

fn says(findings: &[Finding], level: Level, text: &str) -> bool {
    let mut of_level = findings.iter().filter(|finding| finding.level == level);
    of_level.any(|finding| finding.to_string().contains(text))
}

#[test]
fn zones_that_a_container_runtime_hides_are_named() {
    let host = Host::new();
    let target = "../../devices/virtual/powercap/intel-rapl/intel-rapl:0";
    symlink(target, host.path("sys/class/powercap/intel-rapl:0")).unwrap();
    let findings = explain(&host.roots(), &Settings::default());
    assert!(
        findings[0].to_string().contains("hidden from this container"),
        "{findings:?}"
    );
}
