//! The sampler on trees of all versions of control groups.

mod again;
mod host;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Owner, Point};
use accelscope_core::sampler::{Outcome, Sampler as _};

use host::{Host, ID, PERIOD, POD, is, look, shown, v2};

#[test]
fn a_container_of_v2_shows_what_it_waited_for_since_the_look_before() {
    let (host, group) = (Host::new(), format!("{POD}/{ID}"));
    v2(&host, &group);
    host.write_all(POD, &[("cpu.max", "max 100000\n"), ("memory.max", "4194304\n")]);
    host.process(7, &format!("0::/{group}/of/its/own\n"), "50 70 1\n");
    host.hold([7]);
    let (mut sampler, begun) = (host.sampler(), Instant::now());
    let first = look(&mut sampler, begun);
    is(
        &first,
        &[
            ("accel.holder.device gpu-0", Some(1.0)),
            ("accel.holder.processes", Some(1.0)),
            ("container.cpu.time", Some(9.0)),
            ("accel.holder.cpu.time", None),
            ("accel.holder.cpu.limit", Some(0.2)),
            ("accel.holder.cpu.periods", Some(100.0)),
            ("accel.holder.cpu.throttled.periods", Some(40.0)),
            ("accel.holder.cpu.throttled.time", Some(2.0)),
            ("accel.holder.cpu.wait.time", Some(0.0)),
            ("accel.holder.pressure.time memory some", Some(0.001)),
            ("container.memory.usage", Some(1_048_576.0)),
            ("accel.holder.memory.limit", Some(4_194_304.0)),
            ("accel.holder.oom_kills", Some(0.0)),
            ("accel.holder.waiting cpu_quota", None),
        ],
    );
    for point in &first {
        let Some(Owner::Within(cgroup)) = &point.owner else {
            panic!("{point:?}")
        };
        assert_eq!(cgroup.container_id.as_deref(), Some(ID));
        assert_eq!(
            point.start.is_some(),
            point.instrument.kind.is_cumulative(),
            "{point:?}"
        );
    }
    // Throttled 8 s of 10, in 90 of 100 periods; 2 s stalled on memory; and a thread that waited as long as it ran.
    host.write_all(
        &group,
        &[
            (
                "cpu.stat",
                "usage_usec 11000000\nnr_periods 200\nnr_throttled 130\nthrottled_usec 10000000\n",
            ),
            (
                "memory.pressure",
                "some avg10=0 avg60=0 avg300=0 total=2001000\nfull avg10=0 avg60=0 avg300=0 total=1500\n",
            ),
        ],
    );
    host.process(7, &format!("0::/{group}/of/its/own\n"), "4000000050 4000000070 1\n");
    is(
        &look(&mut sampler, begun + PERIOD),
        &[
            ("container.cpu.time", Some(11.0)),
            ("accel.holder.cpu.throttled.time", Some(10.0)),
            ("accel.holder.cpu.wait.time", Some(4.0)),
            ("accel.holder.waiting cpu_quota", Some(0.8)),
            ("accel.holder.waiting cpu", Some(0.4)),
            ("accel.holder.waiting memory", Some(0.2)),
            ("accel.holder.waiting io", Some(0.0)),
        ],
    );
}

#[test]
fn a_quota_of_the_pod_throttles_its_containers() {
    let (host, group) = (Host::new(), format!("{POD}/{ID}"));
    v2(&host, &group);
    let pod = |throttled: u64| {
        let text = format!(
            "usage_usec 9\nnr_periods {throttled}\nnr_throttled {throttled}\nthrottled_usec {throttled}00000\n"
        );
        host.write_all(POD, &[("cpu.max", "10000 100000\n"), ("cpu.stat", &text)]);
    };
    pod(1000);
    host.process(7, &format!("0::/{group}\n"), "1 0 1\n");
    host.hold([7]);
    let (mut sampler, begun) = (host.sampler(), Instant::now());
    is(&look(&mut sampler, begun), &[("accel.holder.cpu.limit", Some(0.1))]);
    pod(1050);
    is(
        &look(&mut sampler, begun + PERIOD),
        &[
            ("accel.holder.cpu.throttled.time", Some(7.0)),
            ("accel.holder.waiting cpu_quota", Some(0.5)),
        ],
    );
    // A kernel that counts less than was waited, in all of ten periods and in one of ten.
    let stat = |periods: u64, throttled: u64| {
        let text = format!("usage_usec 9\nnr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec 105100000\n");
        host.write_all(POD, &[("cpu.stat", &text)]);
    };
    stat(1060, 1060);
    host.process(7, &format!("0::/{group}\n"), "2000000001 8000000000 1\n");
    is(
        &look(&mut sampler, begun + 2 * PERIOD),
        &[("accel.holder.waiting cpu_quota", Some(0.8))],
    );
    stat(1070, 1061);
    host.process(7, &format!("0::/{group}\n"), "4000000001 16000000000 1\n");
    is(
        &look(&mut sampler, begun + 3 * PERIOD),
        &[
            ("accel.holder.waiting cpu_quota", Some(0.1)),
            ("accel.holder.waiting cpu", Some(0.8)),
        ],
    );
    // Nothing ran under a quota.
    host.process(7, &format!("0::/{group}\n"), "6000000001 24000000000 1\n");
    is(
        &look(&mut sampler, begun + 4 * PERIOD),
        &[("accel.holder.waiting cpu_quota", Some(0.0))],
    );
}

#[test]
fn a_unit_of_v1_has_no_pressure_and_no_limit_that_is_none() {
    let host = Host::new();
    let unit = "system.slice/inference.service";
    for (controller, files) in [
        (
            "cpu,cpuacct",
            &[
                ("cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 3000000000\n"),
                ("cpu.cfs_quota_us", "-1\n"),
                ("cpu.cfs_period_us", "100000\n"),
                ("cpuacct.usage", "5000000000\n"),
            ][..],
        ),
        (
            "memory",
            &[
                ("memory.usage_in_bytes", "4096\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ][..],
        ),
    ] {
        host.write_all(&format!("{controller}/{unit}"), files);
    }
    host.process(
        7,
        &format!("4:memory:/{unit}\n3:cpu,cpuacct:/{unit}\n2:pids:/\n"),
        "1 0 1\n",
    );
    host.hold([7]);
    let points = look(&mut host.sampler(), Instant::now());
    is(
        &points,
        &[
            ("accel.holder.cpu.time", Some(5.0)),
            ("container.cpu.time", None),
            ("accel.holder.cpu.throttled.time", Some(3.0)),
            ("accel.holder.cpu.limit", None),
            ("accel.holder.memory.usage", Some(4096.0)),
            ("accel.holder.memory.limit", None),
            ("accel.holder.oom_kills", Some(2.0)),
            ("accel.holder.pressure.time memory some", None),
        ],
    );
}

#[test]
fn on_a_host_with_both_versions_each_controller_is_read_where_it_is() {
    let host = Host::new();
    host.write("sys/fs/cgroup/unified/cgroup.controllers", "");
    let group = format!("docker/{ID}");
    host.write_all(
        &format!("unified/{group}"),
        &[
            ("cpu.stat", "usage_usec 7000000\n"),
            ("memory.pressure", "some avg10=0 avg60=0 avg300=0 total=3000000\n"),
        ],
    );
    host.write_all(
        &format!("cpu/{group}"),
        &[("cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 1000000000\n")],
    );
    host.process(7, &format!("4:memory:/\n1:cpu:/{group}\n0::/{group}\n"), "1 0 1\n");
    host.hold([7]);
    is(
        &look(&mut host.sampler(), Instant::now()),
        &[
            ("container.cpu.time", Some(7.0)),
            ("accel.holder.cpu.throttled.time", Some(1.0)),
            ("accel.holder.pressure.time memory some", Some(3.0)),
            ("accel.holder.pressure.time memory full", None),
            ("container.memory.usage", None),
        ],
    );
}

#[test]
fn totals_stay_when_a_process_ends_and_when_the_unit_is_started_again() {
    let (host, unit) = (Host::new(), "system.slice/a.service");
    v2(&host, unit);
    let groups = format!("0::/{unit}\n");
    host.process(7, &groups, "10 1000000000 1\n");
    host.process(8, &groups, "10 1000000000 1\n");
    host.hold([7, 8]);
    let (mut sampler, begun) = (host.sampler(), Instant::now());
    look(&mut sampler, begun);
    host.process(7, &groups, "10 3000000000 1\n");
    is(
        &look(&mut sampler, begun + PERIOD),
        &[("accel.holder.cpu.wait.time", Some(2.0))],
    );
    host.hold([8]);
    is(
        &look(&mut sampler, begun + 2 * PERIOD),
        &[
            ("accel.holder.cpu.wait.time", Some(2.0)),
            ("accel.holder.processes", Some(1.0)),
        ],
    );
    // Another group of the same name.
    host.end_slice();
    v2(&host, unit);
    host.write_all(
        unit,
        &[(
            "cpu.stat",
            "usage_usec 1000000\nnr_periods 5\nnr_throttled 1\nthrottled_usec 500000\n",
        )],
    );
    is(
        &look(&mut sampler, begun + 3 * PERIOD),
        &[
            ("accel.holder.cpu.time", Some(10.0)),
            ("accel.holder.cpu.throttled.time", Some(2.5)),
            ("accel.holder.cpu.wait.time", Some(2.0)),
        ],
    );
    // Nobody has made it anew.
    host.end_slice();
    is(
        &look(&mut sampler, begun + 4 * PERIOD),
        &[("accel.holder.processes", None)],
    );
}

#[test]
fn what_cannot_be_is_absent_once() {
    let (host, unit) = (Host::new(), "system.slice/a.service");
    v2(&host, unit);
    host.process(7, &format!("0::/{unit}\n"), "10 10 1\n");
    host.hold([7]);
    let (mut sampler, begun) = (host.sampler(), Instant::now());
    look(&mut sampler, begun);
    let stat = |usage: u64, throttled: u64| {
        let text = format!("usage_usec {usage}\nnr_periods 100\nnr_throttled 40\nthrottled_usec {throttled}\n");
        host.write_all(unit, &[("cpu.stat", &text)]);
    };
    // Back, and more than eight CPUs can have done.
    stat(8_000_000, 900_000_000_000);
    host.write_all(
        unit,
        &[
            ("memory.current", "nonsense\n"),
            ("io.pressure", "some total=99999999999999999999999\n"),
        ],
    );
    is(
        &look(&mut sampler, begun + PERIOD),
        &[
            ("accel.holder.cpu.time", None),
            ("accel.holder.cpu.throttled.time", None),
            ("accel.holder.waiting cpu_quota", None),
            ("accel.holder.memory.usage", None),
            ("accel.holder.pressure.time io some", None),
            ("accel.holder.pressure.time memory some", Some(0.001)),
        ],
    );
    stat(8_500_000, 900_000_500_000);
    is(
        &look(&mut sampler, begun + 2 * PERIOD),
        &[
            ("accel.holder.cpu.time", Some(9.5)),
            ("accel.holder.cpu.throttled.time", Some(2.5)),
        ],
    );
}

#[test]
fn who_is_in_no_container_and_unit_has_no_series() {
    let host = Host::new();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    host.process(7, "0::/\n", "1 0 1\n");
    host.process(8, "nonsense", "1 0 1\n");
    // One that has ended, and another one with the id of one.
    host.process(9, &format!("0::/{POD}/{ID}\n"), "1 0 1\n");
    host.write("proc/9/stat", "9 (python3) S 0 0\n");
    host.hold([7, 8, 9, 10]);
    assert_eq!(shown(&look(&mut host.sampler(), Instant::now())), BTreeMap::new());
}

#[test]
fn nobody_holds_and_nothing_is_read() {
    let host = Host::new();
    let mut sampler = host.sampler();
    let mut out = Vec::new();
    assert!(matches!(sampler.sample(&mut out), Outcome::NothingHere(_)));
    assert!(out.is_empty());
    v2(&host, "system.slice/a.service");
    host.process(7, "0::/system.slice/a.service\n", "1 0 1\n");
    host.hold([7]);
    assert!(matches!(sampler.sample(&mut out), Outcome::Sampled));
    host.hold([]);
    assert!(matches!(sampler.sample(&mut out), Outcome::Sampled), "its series end");
    assert!(!out[0].points.is_empty() && out[1].points.is_empty());
    assert!(matches!(sampler.sample(&mut out), Outcome::NothingHere(_)));
}

#[test]
fn a_pod_with_more_groups_than_all_may_have_takes_no_others_place() {
    let host = Host::new();
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    let small = format!("{}/{ID}", POD.replace('1', "2"));
    let group = |nth: u32| match nth {
        0 => small.clone(),
        nth => format!("{POD}/{}{nth:08}", &ID[8..]),
    };
    for nth in 0..530 {
        host.write_all(&group(nth), &[("memory.current", "1\n")]);
        host.process(1000 + nth, &format!("0::/{}\n", group(nth)), "1 0 1\n");
    }
    host.hold(1000..1530);
    let points = look(&mut host.sampler(), Instant::now());
    let held: Vec<&Point> = points
        .iter()
        .filter(|point| point.instrument.name == "accel.holder.processes")
        .collect();
    assert_eq!(held.len(), 512);
    let is_small = |point: &&&Point| matches!(&point.owner, Some(Owner::Within(cgroup)) if cgroup.container_id.as_deref() == Some(ID));
    assert_eq!(held.iter().filter(is_small).count(), 1);
}

#[test]
fn the_doctor_says_which_files_there_are() {
    let host = Host::new();
    let roots = HostRoots::new(host.tree.path());
    let said = || super::explain(&roots).remove(0);
    assert!(said().remedy.is_some_and(|remedy| remedy.contains("/sys")));
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
    assert!(said().what.contains("psi=1"));
    host.write("proc/pressure/memory", "some\n");
    host.write("proc/self/schedstat", "5 6 7\n");
    assert_eq!(
        said().what,
        "control groups of version 2 tell what the holders of accelerators wait for"
    );
    assert!(Path::new("/proc/self/schedstat").exists(), "this kernel has the file");
}
