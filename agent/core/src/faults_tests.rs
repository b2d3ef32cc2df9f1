//! One XID through both ways, in every order.

use super::*;
use crate::metric::Kind;

const NVML_SINCE: u64 = 200;

struct Both {
    faults: Faults,
    now: Instant,
    device: Arc<str>,
}

impl Both {
    /// The log is read since 100 ns, NVML's events since [`NVML_SINCE`].
    fn new() -> Self {
        let faults = Faults::default();
        faults.log_begins(Timestamp::from_unix_nanos(100));
        Self {
            faults,
            now: Instant::now(),
            device: "GPU-a".into(),
        }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    fn log(&self, code: i64) {
        assert!(self.faults.logged(&self.device, code, self.now));
    }

    /// What is emitted of these counts of NVML's: code, MIG instance, count.
    fn nvml_of(&self, counts: &[(i64, Option<i64>, i64)], since: u64) -> Vec<(i64, Option<i64>, i64)> {
        let point = |(code, instance, count): &(i64, Option<i64>, i64)| {
            let instance = instance.map(|id| (key::NVIDIA_GPU_INSTANCE, id.into()));
            let of = attributes(&self.device, *code).with(instance);
            let mut point = Point::new(&hw::ERRORS, of, *count, Timestamp::now());
            point.start = Some(Timestamp::from_unix_nanos(since));
            point
        };
        let mut batches = [Batch::whole("nvidia", counts.iter().map(point).collect())];
        self.faults.reconcile(&mut batches, Duration::from_secs(20), self.now);
        let [batch] = batches;
        let read = |point: Point| {
            assert_eq!(point.instrument.kind, Kind::Counter);
            assert!(point.start.unwrap() <= point.time);
            let count = point.value.as_f64().unwrap() as i64;
            let of = point.attributes;
            (
                of.int(key::NVIDIA_XID).unwrap(),
                of.int(key::NVIDIA_GPU_INSTANCE),
                count,
            )
        };
        batch.points.into_iter().map(read).collect()
    }

    /// The count of XID 79 that is emitted where NVML has counted so many.
    fn nvml(&self, count: i64) -> i64 {
        let emitted = self.nvml_of(&[(79, None, count)], NVML_SINCE);
        assert_eq!(emitted.len(), 1, "{emitted:?}");
        emitted[0].2
    }

    /// The count of XID 79 of the log's, where that is emitted.
    fn kmsg(&self) -> Option<i64> {
        if self.faults.is_watched(&self.device, self.now) {
            return None;
        }
        let counts = self.faults.counts(&self.device, self.now);
        Some(
            counts
                .iter()
                .find(|count| count.code == 79)
                .map_or(0, |count| count.value),
        )
    }
}

#[test]
fn the_log_first_then_nvml() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.log(79);
    assert_eq!(both.kmsg(), None);
    assert_eq!(both.after(1).nvml(0), 0);
    for seconds in [5, 60, 600] {
        assert_eq!(both.after(seconds).nvml(1), 1);
    }
}

#[test]
fn nvml_first_then_the_log() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    assert_eq!(both.after(5).nvml(1), 1);
    both.after(1).log(79);
    for seconds in [5, 60, 600] {
        assert_eq!(both.after(seconds).nvml(1), 1);
    }
    // The next one, too.
    both.log(79);
    assert_eq!(both.after(5).nvml(2), 2);
}

#[test]
fn nvml_s_first_reading_has_an_event_of_which_the_log_tells_later() {
    let mut both = Both::new();
    assert_eq!(both.nvml(1), 1);
    both.after(1).log(79);
    assert_eq!(both.after(60).nvml(1), 1);
}

#[test]
fn what_nvml_counted_before_the_log_was_read_is_not_in_the_log() {
    let mut both = Both::new();
    assert_eq!(both.nvml_of(&[(79, None, 3)], 50), [(79, None, 3)]);
    both.after(1).log(79);
    assert_eq!(both.after(5).nvml_of(&[(79, None, 4)], 50), [(79, None, 4)]);
    both.after(1).log(79);
    assert_eq!(
        both.after(60).nvml_of(&[(79, None, 4)], 50),
        [(79, None, 5)],
        "NVML missed one"
    );
}

#[test]
fn the_log_before_nvml_is_there() {
    let mut both = Both::new();
    both.log(79);
    assert_eq!(both.kmsg(), Some(1));
    // It was registered before the event, and has it in its second reading.
    assert_eq!(both.after(2).nvml(0), 1);
    assert_eq!(both.after(5).nvml(1), 1);
    assert_eq!(both.after(600).nvml(1), 1);
    // Or after it, and never has it.
    let mut both = Both::new();
    both.log(79);
    assert_eq!(both.kmsg(), Some(1));
    for seconds in [2, 60, 700] {
        assert_eq!(both.after(seconds).nvml(0), 1);
    }
    both.log(79);
    assert_eq!(both.after(5).nvml(1), 2);
}

#[test]
fn what_nvml_misses_is_added_after_a_while() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.log(79);
    assert_eq!(both.after(5).nvml(0), 0);
    assert_eq!(both.after(20).nvml(0), 1);
    // It comes at last.
    assert_eq!(both.after(30).nvml(1), 1);
    both.log(79);
    both.log(79);
    assert_eq!(both.after(5).nvml(2), 2);
    assert_eq!(both.after(20).nvml(2), 3);
}

#[test]
fn a_gpu_of_which_nvml_tells_no_more_is_the_log_s() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.log(79);
    assert_eq!(both.after(1).nvml(1), 1);
    // The last reading is too old.
    assert_eq!(both.after(10).kmsg(), None);
    assert_eq!(both.after(20).kmsg(), Some(1));
    both.log(79);
    assert_eq!(both.kmsg(), Some(2));
    // It is back, with the count that its worker handed over, and one that only the log had.
    assert_eq!(both.after(60).nvml(1), 2);
    assert_eq!(both.kmsg(), None);
    both.log(79);
    assert_eq!(both.after(5).nvml(2), 3);
}

#[test]
fn an_event_between_two_workers_is_not_lost() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.log(79);
    // No reading for a minute: the worker is replaced, and the new one knows of none.
    assert_eq!(both.after(60).kmsg(), Some(1));
    assert_eq!(both.after(1).nvml(0), 1);
    assert_eq!(both.after(900).nvml(0), 1);
}

#[test]
fn a_worker_that_counts_from_0_again_makes_a_reset_and_no_more() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    for count in 1..=3 {
        both.log(79);
        assert_eq!(both.after(5).nvml(count), count);
    }
    both.log(79);
    assert_eq!(both.after(30).nvml(3), 4);
    assert_eq!(both.after(5).nvml_of(&[(79, None, 0)], 900), [(79, None, 0)]);
    both.log(79);
    assert_eq!(both.after(5).nvml_of(&[(79, None, 1)], 900), [(79, None, 1)]);
}

#[test]
fn the_library_s_end_hands_over_at_once() {
    let mut both = Both::new();
    assert_eq!(both.nvml(2), 2);
    both.faults.library_ended();
    assert_eq!(both.after(1).kmsg(), Some(2));
}

#[test]
fn an_instance_that_nvml_names_takes_the_log_s_event() {
    let mut both = Both::new();
    assert_eq!(both.nvml_of(&[(94, None, 0)], NVML_SINCE), [(94, None, 0)]);
    both.log(94);
    let counts = [(94, None, 0), (94, Some(9), 1)];
    assert_eq!(both.after(5).nvml_of(&counts, NVML_SINCE), counts);
    assert_eq!(both.after(600).nvml_of(&counts, NVML_SINCE), counts);
}

#[test]
fn a_code_that_nvml_never_tells_gets_a_series() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.log(154);
    assert_eq!(
        both.after(20).nvml_of(&[(79, None, 0)], NVML_SINCE),
        [(79, None, 0), (154, None, 1)]
    );
    let counts = [(79, None, 0), (154, None, 1)];
    assert_eq!(both.after(5).nvml_of(&counts, NVML_SINCE), counts, "late");
}

#[test]
fn without_the_log_nothing_is_changed() {
    let mut both = Both::new();
    both.faults = Faults::default();
    assert_eq!(both.nvml(5), 5);
    assert_eq!(both.kmsg(), Some(0));
}

#[test]
fn the_end_of_the_log_takes_nothing_back() {
    let mut both = Both::new();
    assert_eq!(both.nvml(3), 3);
    for _ in 0..4 {
        both.log(79);
    }
    assert_eq!(both.after(20).nvml(3), 4);
    both.faults.log_ends();
    assert_eq!(both.after(5).nvml(3), 4);
    assert_eq!(both.after(5).nvml(4), 4, "the one that it had missed");
    assert_eq!(both.after(5).nvml(5), 5);
    // Nothing of what came meanwhile is in the log that is read again.
    both.faults.log_begins(Timestamp::now());
    both.log(79);
    assert_eq!(both.after(20).nvml(5), 6);
}

#[test]
fn the_number_of_codes_is_limited() {
    let both = Both::new();
    let counted = (0..10_000).filter(|code| both.faults.logged(&both.device, *code, both.now));
    assert_eq!(counted.count(), MAX_ENTRIES);
}
