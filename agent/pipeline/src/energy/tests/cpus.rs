//! Energy of processors and memory.

use std::os::unix::fs::symlink;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn group(begin: &str) -> String {
    format!("/system.slice/docker-{}.scope", id(begin))
}

#[test]
fn processors_are_divided_by_cpu_time_and_idle_time_is_nobodys() {
    let mut host = Host::new(Idle::Unattributed);
    for (name, used) in [("aaaaaa", 100), ("bbbbbb", 7)] {
        host.uses(&group(name), SECOND * used);
    }
    let zones = |host: &Host, package: f64, dram: f64| {
        vec![
            host.joules("p0", "cpu", package),
            host.joules("p1", "cpu", 5.0),
            host.joules("d0", "memory", dram),
        ]
    };
    // What was counted before is of nobody that is known now.
    let first = host.run("power", "rapl", zones(&host, 1000.0, 50.0));
    assert!(first.values().all(|joules| *joules == 0.0), "{first:?}");

    host.pass(SECOND * 10);
    // 15 s and 5 s of 4 x 10 s.
    host.uses(&group("aaaaaa"), SECOND * 115);
    host.uses(&group("bbbbbb"), SECOND * 12);
    let points = zones(&host, 1080.0, 58.0);
    let second = host.run("power", "rapl", points);
    let expected = [
        ("aaaaaa cpu rapl cpu_time", 30.0),
        ("bbbbbb cpu rapl cpu_time", 10.0),
        ("- cpu rapl nobody", 40.0),
        ("aaaaaa memory rapl cpu_time", 3.0),
        ("bbbbbb memory rapl cpu_time", 1.0),
        ("- memory rapl nobody", 4.0),
    ];
    assert_eq!(second, map(&expected));
}

#[test]
fn idle_time_is_of_those_who_work_where_that_is_asked_for() {
    let mut host = Host::new(Idle::Proportional);
    host.uses(&group("aaaaaa"), SECOND);
    host.uses(&group("bbbbbb"), SECOND);
    host.uses("", SECOND * 2);
    host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
    host.pass(SECOND * 10);
    // 3 s, 1 s, and 1 s of the kernel.
    host.uses(&group("aaaaaa"), SECOND * 4);
    host.uses(&group("bbbbbb"), SECOND * 2);
    host.uses("", SECOND * 7);
    let shares = host.run("power", "rapl", vec![host.joules("p0", "cpu", 100.0)]);
    let expected = [
        ("aaaaaa cpu rapl cpu_time", 60.0),
        ("bbbbbb cpu rapl cpu_time", 20.0),
        ("- cpu rapl nobody", 20.0),
    ];
    assert_eq!(shares, map(&expected));
}

#[test]
fn a_container_that_lived_between_two_readings_is_in_its_pods_part() {
    let mut host = Host::new(Idle::Unattributed);
    let pod = "/kubepods/burstable/pod0a1b2c3d-0000-4000-8000-000000000000";
    let stays = format!("{pod}/{}", id("aaaaaa"));
    host.uses(pod, SECOND);
    host.uses(&stays, SECOND);
    host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
    host.pass(SECOND * 10);
    // Two seconds more than the container that is still there.
    host.uses(pod, SECOND * 13);
    host.uses(&stays, SECOND * 11);
    // One that is new, and used 4 s since it was made.
    host.uses(&group("cccccc"), SECOND * 4);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 40.0)]);
    let expected = [
        ("aaaaaa cpu rapl cpu_time", 10.0),
        ("0a1b2c cpu rapl cpu_time", 2.0),
        ("cccccc cpu rapl cpu_time", 4.0),
        ("- cpu rapl nobody", 24.0),
    ];
    assert_eq!(parts, map(&expected));

    // What has ended is not shown any more, and comes back with its total.
    fs::remove_dir_all(host.directory.path().join(format!("sys/fs/cgroup{}", group("cccccc")))).unwrap();
    host.pass(SECOND * 10);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 80.0)]);
    let expected = [
        ("aaaaaa cpu rapl cpu_time", 10.0),
        ("0a1b2c cpu rapl cpu_time", 2.0),
        ("- cpu rapl nobody", 64.0),
    ];
    assert_eq!(parts, map(&expected));
}

#[test]
fn units_of_cgroup_v1_are_divided_by_its_own_accounting() {
    let mut host = Host::new(Idle::Unattributed);
    let root = host.directory.path().to_owned();
    let uses = |group: &str, seconds: u64| {
        let path = format!("sys/fs/cgroup/cpu,cpuacct{group}/cpuacct.usage");
        write(&root, &path, &format!("{}\n", seconds * 1_000_000_000));
    };
    write(&root, "sys/fs/cgroup/cpu,cpuacct/cgroup.procs", "");
    symlink("cpu,cpuacct", root.join("sys/fs/cgroup/cpuacct")).unwrap();
    uses("", 100);
    uses("/system.slice/infer.service", 10);
    uses("/system.slice/infer.service/worker", 10);
    host.run("power", "hwmon", vec![host.joules("p0", "cpu", 0.0)]);
    host.pass(SECOND * 10);
    uses("/system.slice/infer.service", 20);
    uses("/system.slice/infer.service/worker", 20);
    let parts = host.run("power", "hwmon", vec![host.joules("p0", "cpu", 40.0)]);
    let expected = [("infer. cpu hwmon cpu_time", 10.0), ("- cpu hwmon nobody", 30.0)];
    assert_eq!(parts, map(&expected));
}

#[test]
fn a_zone_within_another_and_a_sensor_of_the_same_are_not_counted_twice() {
    let mut host = Host::new(Idle::Unattributed);
    let zones = |host: &Host, factor: f64| {
        let mut core = host.joules("p0/core", "cpu", 60.0 * factor);
        core.attributes = core.attributes.with([(key::HW_PARENT, "p0".into())]).into();
        let mut package = host.joules("p0", "cpu", 100.0 * factor);
        package.attributes = package.attributes.with([(key::HW_PARENT, "psys".into())]).into();
        let rapl = vec![core, package, host.joules("psys", "enclosure", 300.0 * factor)];
        let board = vec![host.joules("board", "cpu", 90.0 * factor)];
        [Batch::new("power", "rapl", rapl), Batch::new("power", "hwmon", board)]
    };
    let batches = zones(&host, 1.0);
    host.energy
        .of_run("power", &batches, &[], &mut host.attribution, host.now);
    host.pass(SECOND);
    let batches = zones(&host, 2.0);
    let batch = host
        .energy
        .of_run("power", &batches, &[], &mut host.attribution, host.now);
    let points: BTreeMap<String, f64> = batch.unwrap().points.iter().map(shown).collect();
    assert_eq!(points, map(&[("- cpu rapl nobody", 100.0)]));
}

#[test]
fn nothing_is_attributed_where_nothing_is_measured() {
    let mut host = Host::new(Idle::Unattributed);
    assert!(
        host.run("power", "rapl", vec![host.point(&hw::POWER, &[], 5.0)])
            .is_empty()
    );
    host.energy.settings.enabled = false;
    assert!(
        host.run("power", "rapl", vec![host.joules("p0", "cpu", 1.0)])
            .is_empty()
    );
}

/// A package that is missing for one reading, and what it is a part of for another.
#[test]
fn a_zone_that_is_read_alone_for_once_is_still_a_part() {
    let mut host = Host::new(Idle::Unattributed);
    let within = |point: Point, parent: &str| Point {
        attributes: point.attributes.with([(key::HW_PARENT, parent.into())]).into(),
        ..point
    };
    let zones = |host: &Host, joules: f64| {
        let core = within(host.joules("p0/core", "cpu", joules / 2.0), "p0");
        let package = within(host.joules("p0", "cpu", joules), "psys");
        (core, package)
    };
    let (core, package) = zones(&host, 100.0);
    host.run("power", "rapl", vec![core, package]);
    let mut expected = 0.0;
    for (joules, has_package, has_parent) in [(150.0, true, true), (200.0, false, true), (260.0, true, false)] {
        host.pass(SECOND);
        let (mut core, package) = zones(&host, joules);
        if !has_parent {
            core = host.joules("p0/core", "cpu", joules / 2.0);
        }
        let package = has_package.then(|| {
            if has_parent {
                package
            } else {
                host.joules("p0", "cpu", joules)
            }
        });
        let parts = host.run("power", "rapl", package.into_iter().chain([core]).collect());
        if has_package {
            expected = joules - 100.0;
            assert_eq!(parts, map(&[("- cpu rapl nobody", expected)]));
        }
    }
    assert!(expected > 0.0);
}

/// What one unit makes within itself hides nothing of others.
#[test]
fn a_flood_of_groups_in_one_unit_is_bounded_there() {
    let mut host = Host::new(Idle::Unattributed);
    for number in 0..1500 {
        host.uses(
            &format!("/user.slice/user-1000.slice/user@1000.service/lxc.payload.x{number}"),
            SECOND,
        );
    }
    host.uses("/user.slice/user-1000.slice/user@1000.service", SECOND);
    host.uses(&group("aaaaaa"), SECOND);
    host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
    host.pass(SECOND * 10);
    host.uses(&group("aaaaaa"), SECOND * 21);
    // It was made since, as far as can be known.
    host.uses(&group("bbbbbb"), SECOND * 10);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 40.0)]);
    let of = |name: &str| parts[name].round() as i64;
    assert_eq!(of("aaaaaa cpu rapl cpu_time"), 20);
    assert_eq!(of("bbbbbb cpu rapl cpu_time"), 10);
    assert_eq!(parts.values().sum::<f64>().round() as i64, 40);
}

#[test]
fn a_kind_that_is_not_measured_any_more_ends_and_the_other_goes_on() {
    let mut host = Host::new(Idle::Unattributed);
    host.uses(&group("aaaaaa"), SECOND);
    let both = vec![host.joules("p0", "cpu", 1.0), host.joules("d0", "memory", 1.0)];
    assert_eq!(host.run("power", "rapl", both).len(), 4);
    host.pass(SECOND);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 5.0)]);
    let expected = [("aaaaaa cpu rapl cpu_time", 0.0), ("- cpu rapl nobody", 4.0)];
    assert_eq!(parts, map(&expected));
}

#[test]
fn a_clock_that_is_set_back_takes_the_series_along() {
    let mut host = Host::new(Idle::Unattributed);
    host.run("power", "rapl", vec![host.joules("p0", "cpu", 1.0)]);
    host.now += SECOND;
    host.clock -= 3600;
    let batches = [Batch::new("power", "rapl", vec![host.joules("p0", "cpu", 5.0)])];
    let batch = host
        .energy
        .of_run("power", &batches, &[], &mut host.attribution, host.now);
    let times: Vec<Timestamp> = batch.unwrap().points.iter().map(|point| point.time).collect();
    assert_eq!(times, [host.time()]);
}

/// Ends a group and keeps its directory aside: a disk uses the number of a removed one again.
fn end(host: &Host, group: &str) {
    let root = host.directory.path();
    let aside = root.join(group.replace('/', "_"));
    fs::rename(root.join(format!("sys/fs/cgroup{group}")), aside).unwrap();
}

/// Groups change though their number stays the same.
#[test]
fn a_group_in_the_place_of_another_one_is_counted_from_its_begin() {
    let mut host = Host::new(Idle::Unattributed);
    let user = "/user.slice/user-1000.slice/user@1000.service";
    let inner = |begin: &str| format!("{user}/docker-{}.scope", id(begin));
    for group in [&group("aaaaaa"), &group("bbbbbb"), &inner("eeeeee"), user] {
        host.uses(group, SECOND * 100);
    }
    for _ in 0..2 {
        host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
        host.pass(SECOND * 10);
    }
    end(&host, &group("bbbbbb"));
    end(&host, &inner("eeeeee"));
    host.uses(&group("cccccc"), SECOND * 8);
    host.uses(&inner("ffffff"), SECOND * 4);
    host.uses(user, SECOND * 106);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 40.0)]);
    let of = |name: &str| parts.get(name).map(|joules| joules.round() as i64);
    assert_eq!(of("aaaaaa cpu rapl cpu_time"), Some(0));
    assert_eq!(of("bbbbbb cpu rapl cpu_time"), None);
    assert_eq!(of("cccccc cpu rapl cpu_time"), Some(8));
    assert_eq!(of("eeeeee cpu rapl cpu_time"), None);
    assert_eq!(of("ffffff cpu rapl cpu_time"), Some(4));
    assert_eq!(parts.values().sum::<f64>().round() as i64, 40);
}

/// v1 lets groups be renamed (`cgroup1_rename`).
#[test]
fn what_a_renamed_group_uses_is_counted_for_its_new_name() {
    let mut host = Host::new(Idle::Unattributed);
    host.uses(&group("aaaaaa"), SECOND * 100);
    host.uses(&group("bbbbbb"), SECOND * 100);
    for _ in 0..2 {
        host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
        host.pass(SECOND * 10);
    }
    let groups = host.directory.path().join("sys/fs/cgroup");
    let path = |begin: &str| groups.join(group(begin).trim_start_matches('/'));
    fs::rename(path("aaaaaa"), path("dddddd")).unwrap();
    host.uses(&group("dddddd"), SECOND * 110);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 40.0)]);
    assert_eq!(parts["dddddd cpu rapl cpu_time"].round() as i64, 10);
    assert!(!parts.contains_key("aaaaaa cpu rapl cpu_time"), "{parts:?}");
}

#[test]
fn a_unit_that_gets_containers_later_is_not_counted_for_them() {
    let mut host = Host::new(Idle::Unattributed);
    let user = "/user.slice/user-1000.slice/user@1000.service";
    host.uses(user, SECOND * 100);
    for _ in 0..2 {
        host.run("power", "rapl", vec![host.joules("p0", "cpu", 0.0)]);
        host.pass(SECOND * 10);
    }
    host.uses(&format!("{user}/a.slice/docker-{}.scope", id("aaaaaa")), SECOND * 4);
    host.uses(user, SECOND * 110);
    let parts = host.run("power", "rapl", vec![host.joules("p0", "cpu", 40.0)]);
    let mut joules: Vec<i64> = parts.values().map(|joules| joules.round() as i64).collect();
    joules.sort_unstable();
    assert_eq!(joules, [4, 6, 30], "{parts:?}");
}
