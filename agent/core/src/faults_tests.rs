//! One XID through both ways, in every order.

use super::*;
use crate::metric::Kind;

const NVML_SINCE: u64 = 200;

struct Both {
    faults: Faults,
    /// The log's clock.
    micros: std::cell::Cell<u64>,
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
            micros: std::cell::Cell::new(0),
            now: Instant::now(),
            device: "GPU-a".into(),
        }
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    /// A line that is far behind the one before.
    fn log(&self, code: i64) {
        self.line(code, None, 10 * GAP_MICROS);
    }

    /// A line of this process that is so long behind the one before.
    fn line(&self, code: i64, process: Option<u32>, after: u64) {
        self.micros.set(self.micros.get() + after);
        let line = Line {
            xid: code,
            code,
            process,
            micros: self.micros.get(),
        };
        assert!(self.faults.logged(&self.device, line, self.now));
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
    both.after(20).log(79);
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
    both.after(20).log(79);
    assert_eq!(both.after(5).nvml(2), 2);
    both.after(20).log(79);
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
    both.after(20).log(79);
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
    both.log(79);
    assert_eq!(both.after(20).nvml(3), 3);
    both.log(79);
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
    let line = |code| Line {
        xid: code,
        code,
        process: None,
        micros: 0,
    };
    let counted = (0..10_000).filter(|code| both.faults.logged(&both.device, line(*code), both.now));
    assert_eq!(counted.count(), MAX_ENTRIES);
}

#[test]
fn the_lines_of_one_error_are_one_event_of_the_log() {
    let both = Both::new();
    both.line(79, None, 0);
    for _ in 0..5 {
        both.line(79, None, GAP_MICROS);
    }
    assert_eq!(both.kmsg(), Some(1));
    both.line(79, None, GAP_MICROS + 1);
    assert_eq!(both.kmsg(), Some(2));
}

#[test]
fn processes_that_fault_at_once_are_as_many_events() {
    let both = Both::new();
    for process in [7, 8, 9, 7, 8, 9, 9, 8, 7] {
        both.line(79, Some(process), 10);
    }
    assert_eq!(both.kmsg(), Some(3));
    // The first line may tell no process, and so may the others.
    both.line(79, None, 2 * GAP_MICROS);
    both.line(79, Some(10), 10);
    both.line(79, None, 10);
    assert_eq!(both.kmsg(), Some(4));
    both.line(79, Some(11), 10);
    assert_eq!(both.kmsg(), Some(5));
}

#[test]
fn codes_and_gpus_are_events_of_their_own() {
    let both = Both::new();
    both.line(79, Some(1), 0);
    both.line(154, Some(1), 10);
    let other: Arc<str> = "GPU-b".into();
    let line = Line {
        xid: 79,
        code: 79,
        process: Some(1),
        micros: 20,
    };
    assert!(both.faults.logged(&other, line, both.now));
    assert_eq!(both.faults.counts(&both.device, both.now).len(), 2);
    assert_eq!(both.faults.counts(&other, both.now).len(), 1);
    assert_eq!(both.kmsg(), Some(1));
}

#[test]
fn several_lines_and_one_event_of_nvml_s_are_one_whichever_is_first() {
    let lines = |both: &Both| {
        both.line(79, None, 10 * GAP_MICROS);
        both.line(79, None, 10);
        both.line(79, None, 10);
    };
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    lines(&both);
    assert_eq!(both.after(5).nvml(1), 1);
    assert_eq!(both.after(60).nvml(1), 1);
    // The other way round.
    assert_eq!(both.after(5).nvml(2), 2);
    both.after(1);
    lines(&both);
    for seconds in [5, 60, 600] {
        assert_eq!(both.after(seconds).nvml(2), 2);
    }
    // NVML misses the third.
    lines(&both);
    assert_eq!(both.after(60).nvml(2), 3);
}

#[test]
fn what_nvml_tells_counts_as_it_is_however_many_lines_there_are() {
    let mut both = Both::new();
    assert_eq!(both.nvml(0), 0);
    both.line(79, None, 0);
    both.line(79, None, 10);
    assert_eq!(both.after(5).nvml(3), 3);
    assert_eq!(both.after(60).nvml(3), 3);
    // It has told the three together, and not two of later events.
    both.log(79);
    assert_eq!(both.after(20).nvml(3), 4);
    // Lines that are too far apart for one event, of which NVML tells one: the rest of them comes behind its reading.
    both.after(60).log(79);
    assert_eq!(both.after(5).nvml(4), 5);
    both.log(79);
    assert_eq!(both.after(60).nvml(4), 5);
}

#[test]
fn events_that_may_have_more_lines_are_limited() {
    let both = Both::new();
    for process in 0..10_000 {
        both.line(79, Some(process), 1);
    }
    let state = both.faults.lock();
    assert!(state.entries.values().all(|entry| entry.open.len() <= MAX_OPEN));
    drop(state);
    assert_eq!(both.kmsg(), Some(10_000));
}

#[test]
fn codes_that_are_counted_together_are_events_of_their_own() {
    let both = Both::new();
    for xid in [1000, 1001, 1000, 1002] {
        let line = Line {
            xid,
            code: OTHER,
            process: None,
            micros: 0,
        };
        assert!(both.faults.logged(&both.device, line, both.now));
    }
    let counts = both.faults.counts(&both.device, both.now);
    assert_eq!(counts.iter().map(|count| count.value).collect::<Vec<_>>(), [3]);
}
