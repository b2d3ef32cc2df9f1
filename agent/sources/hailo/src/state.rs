//! State of one monitor file over its writes: values, age, counters.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::directory::Stamp;
use super::labels::Labels;
use super::owner::Owner;
use super::reading::Reading;
use accelscope_core::metric::{Moment, ProcessKey, Timestamp};

/// Default age limit in write intervals, and its least.
const INTERVALS: u32 = 3;
const LEAST_MAX_AGE: Duration = Duration::from_secs(5);

/// Modification times are those of the wall clock, which is set now and then (a Raspberry Pi has no battery for it).
/// Where it differs from the monotonic clock by more than this, the monotonic clock is used.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Limit of networks with counters that are kept although the file no longer has them.
const MAX_TOTALS: usize = 1024;

/// One monitor file.
#[derive(Debug, Default)]
pub(super) struct File {
    seen: Option<Seen>,
    latest: Option<Latest>,
    /// The last write intervals, oldest first.
    intervals: VecDeque<Duration>,
    pub(super) totals: BTreeMap<String, Total>,
    /// The process that last contributed to the totals.
    counted_for: Option<ProcessKey>,
    pub(super) owner: Owner,
    pub(super) labels: Labels,
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    at: Instant,
}

/// The last write that had values.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) reading: Reading,
    pub(super) written: Timestamp,
    pub(super) read: Timestamp,
    age_when_read: Duration,
    read_at: Instant,
}

/// Frames of one network since its first observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Total {
    pub(super) frames: f64,
    pub(super) start: Timestamp,
    /// The part of it that a counter already includes.
    pub(super) exported: f64,
    /// The part of `exported` in another counter than that of the present owner: in that of files without a known process,
    /// or in that of a previous owner.
    pub(super) elsewhere: f64,
}

impl Total {
    pub(super) const fn from(start: Timestamp) -> Self {
        Self {
            frames: 0.0,
            start,
            exported: 0.0,
            elsewhere: 0.0,
        }
    }

    /// Takes the frames since the last call into another counter than that of the present owner.
    pub(super) const fn export_elsewhere(&mut self) -> f64 {
        let grown = self.frames - self.exported;
        self.exported = self.frames;
        self.elsewhere += grown;
        grown
    }
}

impl File {
    /// Whether this version has been processed.
    pub(super) fn has_seen(&self, stamp: Stamp) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.stamp == stamp)
    }

    /// Whether its writer is known to report the least and most frames of each interval.
    pub(super) fn has_extremes(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.reading.has_extremes)
    }

    /// The last write that had values.
    pub(super) fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// Number of its devices, networks and streams.
    pub(super) fn elements(&self) -> usize {
        self.latest.as_ref().map_or(0, |latest| latest.reading.elements())
    }

    /// Records a new version. Without values (yet), the last ones stay until their age limit.
    pub(super) fn record(&mut self, stamp: Stamp, reading: Option<Reading>, now: Moment) {
        let before = self.seen.replace(Seen { stamp, at: now.instant });
        let interval = before.map(|before| interval(&before, stamp, now.instant));
        let Some(reading) = reading else { return };
        if let Some(interval) = interval {
            self.intervals.push_back(interval);
            if self.intervals.len() > INTERVALS as usize {
                self.intervals.pop_front();
            }
        }
        self.count(&reading, interval.unwrap_or_default(), now.wall);
        self.latest = Some(Latest {
            reading,
            written: stamp.modified,
            read: now.wall,
            age_when_read: now.wall.since(stamp.modified),
            read_at: now.instant,
        });
    }

    fn count(&mut self, reading: &Reading, interval: Duration, now: Timestamp) {
        for (name, network) in &reading.networks {
            let Some(rate) = network.frame_rate else { continue };
            if let Some(total) = self.totals.get_mut(name) {
                total.frames += rate * interval.as_secs_f64();
            } else {
                self.totals.insert(name.clone(), Total::from(now));
            }
        }
        if self.totals.len() > MAX_TOTALS {
            self.totals.retain(|name, _| reading.networks.contains_key(name));
        }
        self.labels.retain(&reading.networks, &reading.streams);
    }

    /// Assigns the totals to this process from now on, except what the counters of another already include.
    pub(super) fn assign_totals(&mut self, process: ProcessKey) {
        let another = self
            .counted_for
            .replace(process)
            .is_some_and(|before| before != process);
        for total in self.totals.values_mut() {
            if another {
                total.elsewhere = total.exported;
            }
            total.exported = total.frames;
        }
    }

    /// Age of the values: that of the file when it was read, and the monotonic time since. So neither a clock that is set
    /// nor a file from the future keeps values alive.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let latest = self.latest.as_ref()?;
        Some(latest.age_when_read + now.saturating_duration_since(latest.read_at))
    }

    /// Shortest of the last write intervals; zero where none is known.
    pub(super) fn shortest_interval(&self) -> Duration {
        self.intervals.iter().min().copied().unwrap_or_default()
    }

    /// Age from which its values are not shown.
    pub(super) fn max_age(&self, configured: Option<Duration>) -> Duration {
        configured.unwrap_or_else(|| {
            // The median: one long pause of the writer does not raise the limit.
            let mut sorted: Vec<_> = self.intervals.iter().copied().collect();
            sorted.sort();
            let usual = sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or_default();
            usual.saturating_mul(INTERVALS).max(LEAST_MAX_AGE)
        })
    }

    pub(super) fn is_fresh(&self, configured: Option<Duration>, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= self.max_age(configured))
    }
}

/// Time between two writes: of the modification times, unless the wall clock was set between them.
fn interval(before: &Seen, stamp: Stamp, at: Instant) -> Duration {
    let by_wall = stamp.modified.since(before.stamp.modified);
    let monotonic = at.saturating_duration_since(before.at);
    let set_back = stamp.modified < before.stamp.modified;
    if set_back || by_wall.abs_diff(monotonic) > CLOCK_SLACK {
        monotonic
    } else {
        by_wall
    }
}

#[cfg(test)]
mod tests {
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
}
