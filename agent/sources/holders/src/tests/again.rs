//! Units that hold again after a while in which they did not.

use std::time::{Duration, Instant};

use super::host::{Host, PERIOD, is, look, v2};
use crate::Sampler;

const UNIT: &str = "system.slice/a.service";

/// The unit runs in a new group, with 3 s of CPU time and this many kills.
fn start(host: &Host, kills: u32) {
    host.end_slice();
    v2(host, UNIT);
    count(host, 3_000_000, kills);
    host.process(7, &format!("0::/{UNIT}\n"), "10 1000000000 1\n");
    host.hold([7]);
}

fn stop(host: &Host) {
    host.end_slice();
    std::fs::remove_dir_all(host.path("proc/7")).unwrap();
    host.hold([]);
}

fn count(host: &Host, micros: u32, kills: u32) {
    let stat = format!("usage_usec {micros}\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
    let events = format!("oom 1\noom_kill {kills}\n");
    host.write_all(UNIT, &[("cpu.stat", &stat), ("memory.events", &events)]);
}

/// Seconds of CPU time and kills after a look.
#[track_caller]
fn totals(sampler: &mut Sampler, at: Instant, expected: [Option<f64>; 2]) {
    let points = look(sampler, at);
    is(
        &points,
        &[
            ("accel.holder.cpu.time", expected[0]),
            ("accel.holder.oom_kills", expected[1]),
        ],
    );
}

#[test]
fn totals_go_on_when_a_look_fell_between_stop_and_start() {
    let (host, begun) = (Host::new(), Instant::now());
    start(&host, 1);
    let mut sampler = host.sampler();
    totals(&mut sampler, begun, [Some(3.0), Some(1.0)]);
    for restart in 1..4 {
        let (at, count) = (begun + 6 * restart * PERIOD, f64::from(restart + 1));
        stop(&host);
        totals(&mut sampler, at, [None, None]);
        totals(&mut sampler, at + 2 * PERIOD, [None, None]);
        start(&host, 1);
        totals(&mut sampler, at + 3 * PERIOD, [Some(3.0 * count), Some(count)]);
    }
}

#[test]
fn a_group_that_holds_nothing_for_a_while_is_counted_on_and_has_waited_for_nothing() {
    let (host, begun) = (Host::new(), Instant::now());
    start(&host, 1);
    let mut sampler = host.sampler();
    totals(&mut sampler, begun, [Some(3.0), Some(1.0)]);
    host.hold([]);
    totals(&mut sampler, begun + PERIOD, [None, None]);
    count(&host, 5_000_000, 2);
    host.hold([7]);
    let points = look(&mut sampler, begun + 2 * PERIOD);
    is(
        &points,
        &[
            ("accel.holder.cpu.time", Some(5.0)),
            ("accel.holder.oom_kills", Some(2.0)),
            // Of the time in which it did not hold, too.
            ("accel.holder.waiting memory", None),
        ],
    );
    let points = look(&mut sampler, begun + 3 * PERIOD);
    is(&points, &[("accel.holder.waiting memory", Some(0.0))]);
}

#[test]
fn who_comes_back_after_ten_minutes_begins_anew() {
    let (host, begun) = (Host::new(), Instant::now());
    start(&host, 1);
    let mut sampler = host.sampler();
    totals(&mut sampler, begun, [Some(3.0), Some(1.0)]);
    stop(&host);
    totals(&mut sampler, begun + PERIOD, [None, None]);
    assert_eq!(sampler.former(), 1);
    start(&host, 1);
    totals(&mut sampler, begun + Duration::from_mins(10), [Some(3.0), Some(1.0)]);
    assert_eq!(sampler.former(), 0);
}

#[test]
fn units_that_come_and_go_are_kept_up_to_a_bound() {
    let (host, begun) = (Host::new(), Instant::now());
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    for nth in 0..270 {
        let unit = format!("system.slice/u{nth}.service");
        host.write_all(&unit, &[("memory.current", "1\n")]);
        host.process(1000 + nth, &format!("0::/{unit}\n"), "1 0 1\n");
    }
    let mut sampler = host.sampler();
    host.hold(1000..1270);
    look(&mut sampler, begun);
    host.hold([]);
    look(&mut sampler, begun + PERIOD);
    assert!((1..=256).contains(&sampler.former()), "{}", sampler.former());
}
