use std::time::Duration;

use super::*;
use crate::testing::{Host, read, shown, value};

/// Points and reasons of readings ten seconds apart.
fn readings(stats: &[&str]) -> Vec<(Vec<accelscope_core::metric::Point>, Vec<Reason>)> {
    let host = Host::new();
    let mut cpu = Cpu::new(&host.roots());
    let begin = Instant::now();
    let all = stats.iter().zip(0..).map(|(stat, nth)| {
        host.write("proc/stat", stat);
        let now = begin + Duration::from_secs(10 * nth);
        read(|out| cpu.read(Some(2), now, out))
    });
    all.collect()
}

#[test]
fn times_and_shares_are_those_of_the_whole_machine_by_mode() {
    let all = readings(&[
        "cpu  1000 200 300 4000 50 6 7 8 900 100\ncpu0 500 100 150 2000 25 3 4 4 450 50\nintr 1\n",
        "cpu  1500 200 400 5200 150 16 17 28 900 100\ncpu0 1 1 1 1\n",
    ]);
    let seconds = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), (value.parse::<f64>().unwrap() * 100.0).round() as i64)
    };
    let first: Vec<_> = shown(&all[0].0).iter().map(|line| seconds(line)).collect();
    let expected = [
        ("user", 1000),
        ("nice", 200),
        ("system", 300),
        ("idle", 4000),
        ("iowait", 50),
        ("interrupt", 13),
        ("steal", 8),
    ];
    let expected = expected.map(|(mode, ticks)| (format!("system.cpu.time {mode}"), ticks));
    assert_eq!(first, expected, "no utilization at the first reading");
    let share = |mode| value(&all[1].0, "system.cpu.utilization", mode).unwrap();
    // 500 + 0 + 100 + 1200 + 100 + 20 + 20 ticks.
    assert!((share("user") - 500.0 / 1940.0).abs() < 1e-12);
    assert!((share("interrupt") - 20.0 / 1940.0).abs() < 1e-12);
    let sum: f64 = MODES.iter().map(|mode| share(mode)).sum();
    assert!((sum - 1.0).abs() < 1e-12);
}

#[test]
fn time_that_goes_backwards_stays_and_is_counted() {
    let all = readings(&[
        "cpu  1000 0 0 4000 500 0 0 0\n",
        "cpu  1100 0 0 3950 490 0 0 0\n",
        "cpu  1200 0 0 4100 501 0 0 0\n",
        // A CPU went offline.
        "cpu  1300 0 0 2000 501 0 0 0\n",
        "cpu  1400 0 0 2100 501 0 0 0\n",
        // It came back.
        "cpu  1500 0 0 2000100 501 0 0 0\n",
    ]);
    let idle: Vec<_> = all
        .iter()
        .map(|(points, _)| value(points, "system.cpu.time", "idle"))
        .collect();
    assert_eq!(idle, [40.0, 40.0, 41.0, 41.0, 42.0, 42.0].map(Some));
    let reasons: Vec<&[Reason]> = all.iter().map(|(_, reasons)| reasons.as_slice()).collect();
    let twice = [Reason::Decreased, Reason::Decreased];
    assert_eq!(
        reasons,
        [&[][..], &twice, &[], &[Reason::Decreased], &[], &[Reason::OutOfRange]]
    );
    let busy: Vec<_> = all
        .iter()
        .map(|(points, _)| value(points, "system.cpu.utilization", "user"))
        .collect();
    // 100 of 100 ticks; 100 of 201; unknown; 100 of 200; unknown.
    assert_eq!(busy, [None, Some(1.0), Some(100.0 / 201.0), None, Some(0.5), None]);
}

#[test]
fn older_kernels_have_fewer_modes() {
    let all = readings(&["cpu 10 20 30 40\n", "cpu 20 20 30 70 \n"]);
    assert_eq!(value(&all[1].0, "system.cpu.utilization", "idle"), Some(0.75));
    assert_eq!(value(&all[1].0, "system.cpu.time", "steal"), None);
    assert!(all[1].1.is_empty());
}

#[test]
fn what_is_no_time_gives_no_point() {
    for bad in [
        "",
        "cpu",
        "cpu 1 2 3\n",
        "cpu 1 2 3 4",
        "cpu -1 2 3 4\n",
        "cpu 1 2 3 4 x\n",
        "cpu0 1 2 3 4\n",
        "intr 1 2 3 4\n",
        "cpu 1 2 3 99999999999999999999999\n",
        &format!("cpu {}\n", "1 ".repeat(400)),
    ] {
        let all = readings(&[bad]);
        assert!(all[0].0.is_empty(), "{bad}");
        assert_eq!(all[0].1, [Reason::Malformed], "{bad}");
    }
    // Stolen time below zero (as of some hypervisors): that mode alone is lost, and the shares, which need all.
    let all = readings(&[
        "cpu 10 20 30 40 0 0 0 18446744073709551000\n",
        "cpu 20 20 30 70 0 0 0 18446744073709551000\n",
    ]);
    assert_eq!(value(&all[1].0, "system.cpu.time", "idle"), Some(0.7));
    assert_eq!(value(&all[1].0, "system.cpu.time", "steal"), None);
    assert_eq!(value(&all[1].0, "system.cpu.utilization", "idle"), None);
    assert_eq!(all[1].1, [Reason::OutOfRange]);
}

#[test]
fn a_reading_that_is_none_lets_the_next_leap_no_farther() {
    for bad in ["", "cpu 1 2 3\n", "cpu  1100 0 x 4100\n"] {
        let all = readings(&["cpu  1000 0 0 4000\n", bad, "cpu  1100 0 0 900004000\n"]);
        assert_eq!(value(&all[2].0, "system.cpu.time", "idle"), Some(40.0), "{bad}");
        assert_eq!(all[2].1, [Reason::OutOfRange], "{bad}");
        // What is possible within both periods counts, and has its shares.
        let all = readings(&["cpu  1000 0 0 4000\n", bad, "cpu  2000 0 0 7000\n"]);
        assert_eq!(value(&all[2].0, "system.cpu.time", "idle"), Some(70.0), "{bad}");
        assert_eq!(value(&all[2].0, "system.cpu.utilization", "user"), Some(0.25), "{bad}");
    }
}

#[test]
fn times_that_stand_still_give_no_share() {
    let all = readings(&["cpu 10 20 30 40\n", "cpu 10 20 30 40\n"]);
    assert_eq!(value(&all[1].0, "system.cpu.utilization", "idle"), None);
    assert_eq!(all[1].1, [Reason::Frozen]);
}

#[test]
fn a_counter_begins_at_the_host_s_start() {
    let all = readings(&["cpu 10 20 30 40\n"]);
    let start = all[0].0[0].start.unwrap();
    assert_eq!(start, Timestamp::from_unix_nanos(1_000_000_000));
}
