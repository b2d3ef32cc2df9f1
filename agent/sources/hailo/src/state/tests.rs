use super::super::reading::Network;
use super::*;

const START: u64 = 1_700_000_000_000;

struct Writer {
    file: File,
    zero: Instant,
    inode: u64,
}

impl Writer {
    fn new() -> Self {
        Self {
            file: File::default(),
            zero: Instant::now(),
            inode: 0,
        }
    }

    /// All in ms: modification time by the wall clock, and when it was seen by the monotonic clock.
    fn write(&mut self, modified: u64, seen: u64, fps: Option<f64>) {
        let network = Network {
            frame_rate: fps,
            ..Network::default()
        };
        let networks = [("n".to_owned(), network)].into();
        self.put(
            modified,
            seen,
            Some(Reading {
                pid: 7,
                networks,
                ..Reading::default()
            }),
        );
    }

    fn put(&mut self, modified: u64, seen: u64, reading: Option<Reading>) {
        self.inode += 1;
        let stamp = Stamp {
            inode: self.inode,
            size: 1,
            modified: ms(START + modified),
            user: 0,
            is_open: false,
        };
        let now = Moment {
            instant: self.at(seen),
            wall: ms(START + seen),
        };
        self.file.record(stamp, reading, now);
    }

    fn at(&self, ms: u64) -> Instant {
        self.zero + Duration::from_millis(ms)
    }

    fn frames(&self) -> f64 {
        self.file.totals["n"].frames
    }
}

fn ms(ms: u64) -> Timestamp {
    Timestamp::from_unix_nanos(ms * 1_000_000)
}

#[test]
fn frames_are_integrated_over_the_real_interval_of_every_write() {
    let mut writer = Writer::new();
    writer.write(0, 10, Some(30.0));
    assert!(writer.frames().abs() < 1e-9, "the first write's interval is unknown");
    writer.write(1000, 1010, Some(30.0));
    writer.write(3500, 3510, Some(10.0));
    assert!((writer.frames() - 55.0).abs() < 1e-9, "{}", writer.frames());
    writer.write(4500, 4510, None);
    assert!((writer.frames() - 55.0).abs() < 1e-9, "an unknown rate adds nothing");
    writer.write(5500, 5510, Some(30.0));
    assert!((writer.frames() - 85.0).abs() < 1e-9, "nor does the interval before");
    assert_eq!(writer.file.totals["n"].start, ms(START + 10));
}

#[test]
fn a_write_without_values_uses_up_its_interval() {
    let mut writer = Writer::new();
    writer.write(0, 0, Some(30.0));
    writer.put(1000, 1000, None);
    writer.write(2000, 2000, Some(30.0));
    assert!((writer.frames() - 30.0).abs() < 1e-9);
}

#[test]
fn a_writer_that_was_stopped_counts_its_whole_interval() {
    let mut writer = Writer::new();
    writer.write(0, 0, Some(30.0));
    writer.write(600_000, 600_001, Some(1.0));
    assert!((writer.frames() - 600.0).abs() < 1e-6);
}

#[test]
fn a_clock_that_is_set_makes_no_frames() {
    for jump in [50 * 365 * 86_400_000, 0] {
        let mut writer = Writer::new();
        writer.write(100_000, 0, Some(30.0));
        writer.write(100_000 * u64::from(jump > 0) + jump, 1000, Some(30.0));
        assert!((writer.frames() - 30.0).abs() < 1e-9, "{}", writer.frames());
    }
}

#[test]
fn a_file_that_was_left_long_ago_is_stale_when_first_read() {
    let mut writer = Writer::new();
    writer.write(0, 3_600_000, Some(30.0));
    assert!(!writer.file.is_fresh(None, writer.at(3_600_000)));
}

#[test]
fn a_file_from_the_future_ages_all_the_same() {
    let mut writer = Writer::new();
    writer.write(86_400_000, 0, Some(30.0));
    assert!(writer.file.is_fresh(None, writer.at(4_900)));
    assert!(!writer.file.is_fresh(None, writer.at(5_100)));
}

#[test]
fn the_age_limit_is_three_usual_intervals_and_at_least_five_seconds() {
    let mut writer = Writer::new();
    for write in 0..4 {
        writer.write(write * 1000, write * 1000, Some(30.0));
    }
    assert_eq!(writer.file.max_age(None), Duration::from_secs(5));
    for write in 0..4 {
        writer.write(100_000 + write * 10_000, 100_000 + write * 10_000, Some(30.0));
    }
    assert_eq!(writer.file.max_age(None), Duration::from_secs(30));
    writer.write(1_000_000, 1_000_000, Some(30.0));
    assert_eq!(
        writer.file.max_age(None),
        Duration::from_secs(30),
        "one long pause changes nothing"
    );
    assert_eq!(
        writer.file.max_age(Some(Duration::from_secs(2))),
        Duration::from_secs(2)
    );
}

#[test]
fn a_seldom_writer_s_values_stay_while_its_next_write_is_not_overdue() {
    let process = |pid| ProcessKey { pid, start_ticks: 1 };
    let mut writer = Writer::new();
    writer.write(0, 12_000, Some(30.0));
    assert!(
        !writer.file.is_fresh(None, writer.at(12_000)),
        "not known to write seldom"
    );
    assert!(writer.file.may_be_seldom_written(writer.at(12_000)));
    writer.file.expect(process(7), Some(Duration::from_secs(15)));
    assert!(writer.file.is_fresh(None, writer.at(44_000)));
    assert!(!writer.file.is_fresh(None, writer.at(46_000)));
    writer.file.expect(process(7), Some(Duration::from_millis(100)));
    assert_eq!(writer.file.max_age(None), Duration::from_secs(5));
    writer
        .file
        .expect(process(7), Some(Duration::from_millis(i32::MAX as u64)));
    assert_eq!(writer.file.max_age(None), LONGEST_MAX_AGE);
    assert_eq!(
        writer.file.max_age(Some(Duration::from_secs(2))),
        Duration::from_secs(2)
    );
}

#[test]
fn the_past_writes_count_where_the_environment_gives_none_or_a_shorter_one() {
    let process = |pid| ProcessKey { pid, start_ticks: 1 };
    let mut writer = Writer::new();
    writer.write(0, 0, Some(30.0));
    writer.write(15_000, 15_000, Some(30.0));
    assert_eq!(writer.file.interval(), Some(Duration::from_secs(15)));
    writer.file.expect(process(7), None);
    assert_eq!(writer.file.interval(), Some(Duration::from_secs(15)));
    writer.file.expect(process(8), Some(Duration::from_secs(1)));
    assert_eq!(
        writer.file.interval(),
        Some(Duration::from_secs(1)),
        "another process, with another interval"
    );
}

#[test]
fn a_truncated_version_before_each_write_shortens_no_interval() {
    let mut writer = Writer::new();
    for write in 0..4 {
        writer.put(write * 15_000 - write.min(1), write * 15_000 - write.min(1), None);
        writer.write(write * 15_000, write * 15_000, Some(30.0));
    }
    assert_eq!(writer.file.interval(), Some(Duration::from_secs(15)));
}

#[test]
fn the_shortest_interval_is_that_of_the_last_writes() {
    let mut writer = Writer::new();
    writer.write(0, 0, Some(30.0));
    assert_eq!(writer.file.shortest_interval(), Duration::ZERO, "unknown");
    for write in [100, 1100, 1300, 2300] {
        writer.write(write, write, Some(30.0));
    }
    assert_eq!(writer.file.shortest_interval(), Duration::from_millis(200));
    for write in [3300, 4300, 5300] {
        writer.write(write, write, Some(30.0));
    }
    assert_eq!(writer.file.shortest_interval(), Duration::from_secs(1));
}

#[test]
fn an_empty_write_keeps_the_last_values_until_their_age_limit() {
    let mut writer = Writer::new();
    writer.write(0, 0, Some(30.0));
    for second in 1..10 {
        writer.put(second * 1000, second * 1000, None);
    }
    assert!(writer.file.is_fresh(None, writer.at(4_000)));
    assert!(!writer.file.is_fresh(None, writer.at(9_000)));
}

#[test]
fn a_rest_ends_half_an_interval_before_the_next_write_is_replaced() {
    let mut writer = Writer::new();
    writer.write(0, 10, Some(30.0));
    assert_eq!(writer.file.longest_rest(writer.at(20)), Duration::ZERO, "unknown");
    let interval = Duration::from_secs(1);
    for write in 1..=2 {
        writer.write(write * 1000, write * 1000 + 10, Some(30.0));
    }
    for age in (10..4000).step_by(10).map(Duration::from_millis) {
        let rest = writer.file.longest_rest(writer.at(2000) + age);
        // The next comes an interval after the last, and one that is overdue perhaps now.
        let next = interval.saturating_sub(age);
        assert_eq!(rest, next + interval / 2, "{age:?}");
    }
}
