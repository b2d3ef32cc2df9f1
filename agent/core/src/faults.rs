//! XIDs that both a vendor's library and the kernel's log report, counted once.
//!
//! NVIDIA's driver logs each XID as a line and delivers it to NVML as an event. NVML also names the MIG instance, so its counts
//! stand; but it may miss one: while its process is replaced, or of a GPU that is lost.
//!
//! The driver writes several lines for one error, each with the error's code (of Xid 13 one for each of the multiprocessors, and
//! one with the registers), so lines of one GPU, code and process that follow each other shortly are one event of the log. Such
//! an event counts only if NVML tells none of that code of that GPU within 15 s, before or after it: how many events of NVML's
//! belong to how many lines is the driver's affair. What counts so is added to NVML's counts, and of a GPU that NVML does not
//! tell of at all the log's count goes on from NVML's last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::metric::catalogue::hw;
use crate::metric::{AttributeValue, Attributes, Batch, Point, Timestamp, Value, key};

/// Value of `error.type` of these faults.
pub const XID: &str = "xid";
/// The code of all beyond the number that is told apart.
pub const OTHER: i64 = -1;

/// Time that the library has to tell an event of the log: its time limit of a reading, and a period.
const GRACE: Duration = Duration::from_secs(15);
/// Time after which an event of one of both is no longer paired with one of the other.
const MEMORY: Duration = Duration::from_mins(10);
/// Limit of GPUs times codes.
const MAX_ENTRIES: usize = 4096;
/// Longest time between two lines of one event, in microseconds of the log's clock. The driver writes them from one handler, one
/// behind the other; where the kernel writes to a serial line meanwhile, one of 200 bytes takes 17 ms at 115,200 baud. A process
/// whose context an error has ended needs longer to have another one than to write such a line.
const GAP_MICROS: u64 = 100_000;
/// Events of one code of one GPU, each of another process, that may have more lines. Beyond it the oldest has none.
const MAX_OPEN: usize = 16;

/// The shared counts. A clone is the same ones.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Since when the log is read; nothing is done without.
    log_since: Option<Timestamp>,
    /// Whether it is read now.
    is_read: bool,
    /// GPUs whose XIDs the library counts, each with the time at which its last reading is too old.
    watched: HashMap<Arc<str>, Instant>,
    entries: BTreeMap<(Arc<str>, i64), Entry>,
}

/// Counts of one code of one GPU.
#[derive(Debug, Default)]
struct Entry {
    /// What the library has told last, of all instances and of the whole GPU alone.
    told: i64,
    whole: i64,
    start: Option<Timestamp>,
    /// When the library has told the last one that the log has too.
    told_at: Option<Instant>,
    /// Events of the log that the library may still tell.
    held: Waiting,
    /// Events of the log that may have more lines.
    open: Vec<Open>,
    /// Events of the log that are in no count of the library's, and those of them that it may still tell.
    surplus: i64,
    late: Waiting,
}

/// A line of the log that tells an XID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The XID.
    pub xid: i64,
    /// What it counts as: the XID, or [`OTHER`].
    pub code: i64,
    /// The process at fault, where the line tells it.
    pub process: Option<u32>,
    /// The log's own time, in microseconds.
    pub micros: u64,
}

/// An event of the log that may have more lines.
#[derive(Debug, Clone, Copy)]
struct Open {
    xid: i64,
    process: Option<u32>,
    /// Time of its last line.
    micros: u64,
}

/// Events that wait for their counterpart.
#[derive(Debug, Default)]
struct Waiting {
    count: i64,
    /// Times of the oldest and of the newest.
    since: Option<Instant>,
    until: Option<Instant>,
}

impl Waiting {
    fn add(&mut self, count: i64, now: Instant) {
        if count > 0 {
            self.count = self.count.saturating_add(count);
            self.since.get_or_insert(now);
            self.until = Some(now);
        }
    }

    /// Pairs up to `most` of them, and returns how many.
    fn pair(&mut self, most: i64, now: Instant) -> i64 {
        if self
            .until
            .is_none_or(|last| now.saturating_duration_since(last) > MEMORY)
        {
            *self = Self::default();
        }
        let paired = self.count.min(most).max(0);
        self.count -= paired;
        if self.count == 0 {
            *self = Self::default();
        }
        paired
    }

    fn take(&mut self) -> i64 {
        std::mem::take(self).count
    }

    fn is_older_than(&self, age: Duration, now: Instant) -> bool {
        self.since
            .is_some_and(|first| now.saturating_duration_since(first) >= age)
    }
}

/// What the library tells of one code of one GPU in one reading.
#[derive(Debug)]
struct Told {
    sum: i64,
    whole: i64,
    start: Option<Timestamp>,
    /// Batch and point of the series of the whole GPU.
    place: Option<(usize, usize)>,
}

impl Entry {
    /// The library's newest counts. Without `log_since` the log is not read, and has none of them.
    fn tell(&mut self, told: &Told, log_since: Option<Timestamp>, now: Instant) {
        let is_new = self.start.is_none() && self.told == 0;
        let (before, before_whole) = if told.sum < self.told || told.whole < self.whole {
            // It counts anew: what it had not told was added to the count that has ended.
            self.surplus = 0;
            self.late = Waiting::default();
            self.start = None;
            (0, 0)
        } else {
            (self.told, self.whole)
        };
        let (grown, of_whole) = (told.sum - before, told.whole - before_whole);
        if grown > 0 {
            // What was counted before the log was read is not in it.
            if log_since.is_some_and(|since| !is_new || told.start.is_some_and(|start| start >= since)) {
                self.told_at = Some(now);
            }
            // However many there are: that the library tells of them is what matters.
            if self.held.take() == 0 {
                self.surplus -= self.late.pair(grown.min(of_whole), now);
            }
        }
        (self.told, self.whole) = (told.sum, told.whole);
        self.start = match (self.start, told.start) {
            (Some(before), Some(start)) => Some(before.min(start)),
            (before, start) => before.or(start),
        };
    }

    /// Whether a line begins an event: it does not follow another one of its process, nor one whose process is not told.
    fn begins(&mut self, line: &Line) -> bool {
        self.open.retain(|open| open.micros.abs_diff(line.micros) <= GAP_MICROS);
        let of = |is_of: fn(&Open, &Line) -> bool| {
            let mut open = self.open.iter();
            open.rposition(|open| open.xid == line.xid && is_of(open, line))
        };
        let same = of(|open, line| open.process == line.process);
        // Where one of both tells no process it is the last one's.
        let unknown = || of(|open, line| open.process.is_none() || line.process.is_none());
        if let Some(at) = same.or_else(unknown) {
            let mut open = self.open.remove(at);
            open.process = open.process.or(line.process);
            open.micros = open.micros.max(line.micros);
            self.open.push(open);
            return false;
        }
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push(Open {
            xid: line.xid,
            process: line.process,
            micros: line.micros,
        });
        true
    }

    /// Whether the library has told one of these shortly before.
    fn is_told(&self, now: Instant) -> bool {
        self.told_at
            .is_some_and(|told| now.saturating_duration_since(told) <= GRACE)
    }

    /// Counts what the library has not told by itself.
    fn promote(&mut self, now: Instant) {
        let held = self.held.take();
        self.surplus = self.surplus.saturating_add(held);
        self.late.add(held, now);
    }
}

/// A count of the log's, for a GPU of which the library does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The XID, or [`OTHER`].
    pub code: i64,
    /// How many.
    pub value: i64,
    /// Since when.
    pub start: Timestamp,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on [`logged`](Self::logged) is told each line of the log about an XID.
    pub fn log_begins(&self, since: Timestamp) {
        let mut state = self.lock();
        state.log_since.get_or_insert(since);
        state.is_read = true;
    }

    /// The log cannot be read any more. What it has told stays counted.
    pub fn log_ends(&self) {
        self.lock().is_read = false;
    }

    /// Since when the log is read, if it ever was.
    pub fn log_since(&self) -> Option<Timestamp> {
        self.lock().log_since
    }

    /// The log has a line about this GPU. Returns whether it can be counted: the number of codes is limited.
    pub fn logged(&self, device: &Arc<str>, line: Line, now: Instant) -> bool {
        let mut state = self.lock();
        let is_watched = state.is_watched(device, now);
        let key = (Arc::clone(device), line.code);
        if state.entries.len() >= MAX_ENTRIES && !state.entries.contains_key(&key) {
            return false;
        }
        let entry = state.entries.entry(key).or_default();
        if entry.begins(&line) && !entry.is_told(now) {
            entry.held.add(1, now);
            if !is_watched {
                entry.promote(now);
            }
        }
        true
    }

    /// Whether the library counts the XIDs of this GPU.
    pub fn is_watched(&self, device: &str, now: Instant) -> bool {
        self.lock().is_watched(device, now)
    }

    /// The counts of a GPU of which the library does not tell.
    pub fn counts(&self, device: &Arc<str>, now: Instant) -> Vec<Count> {
        let mut state = self.lock();
        let Some(log_since) = state.log_since else {
            return Vec::new();
        };
        let range = (Arc::clone(device), i64::MIN)..=(Arc::clone(device), i64::MAX);
        let all = state.entries.range_mut(range).map(|((_, code), entry)| {
            entry.promote(now);
            Count {
                code: *code,
                value: entry.whole.saturating_add(entry.surplus),
                start: *entry.start.get_or_insert(log_since),
            }
        });
        all.collect()
    }

    /// Adds to the library's readings what the log has beyond them. They are good for `shown_for`.
    pub fn reconcile(&self, batches: &mut [Batch], shown_for: Duration, now: Instant) {
        let mut state = self.lock();
        let Some(log_since) = state.log_since else { return };
        let in_log_since = state.is_read.then_some(log_since);
        let mut told: BTreeMap<(Arc<str>, i64), Told> = BTreeMap::new();
        let mut devices: HashMap<Arc<str>, usize> = HashMap::new();
        for (nth, batch) in batches.iter().enumerate() {
            for (at, point) in batch.points.iter().enumerate() {
                if let Some((device, code)) = xid_of(point) {
                    devices.entry(Arc::clone(&device)).or_insert(nth);
                    add(&mut told, (device, code), point, (nth, at));
                }
            }
        }
        if !devices.is_empty() {
            let until = now + shown_for;
            state.watched = devices.keys().map(|device| (Arc::clone(device), until)).collect();
        }
        for (key, told) in told {
            if told.sum > 0 && state.entries.len() < MAX_ENTRIES {
                state.entries.entry(key.clone()).or_default();
            }
            let Some(entry) = state.entries.get_mut(&key) else {
                continue;
            };
            entry.tell(&told, in_log_since, now);
            entry.settle(now);
            if let Some((nth, at)) = told.place {
                entry.add_to(&mut batches[nth].points[at]);
            } else if let Some(nth) = devices.get(&key.0) {
                entry.push(&key, log_since, &mut batches[*nth]);
            }
        }
        // Codes that the library has never told.
        for (key, entry) in &mut state.entries {
            if let Some(nth) = devices.get(&key.0)
                && entry.told == 0
                && !batches.iter().any(|batch| has(batch, key))
            {
                entry.settle(now);
                entry.push(key, log_since, &mut batches[*nth]);
            }
        }
    }

    /// The library does not tell of any GPU any more.
    pub fn library_ended(&self) {
        self.lock().watched.clear();
    }
}

impl State {
    fn is_watched(&self, device: &str, now: Instant) -> bool {
        self.watched.get(device).is_some_and(|until| now <= *until)
    }
}

impl Entry {
    fn settle(&mut self, now: Instant) {
        if self.held.is_older_than(GRACE, now) {
            self.promote(now);
        }
    }

    fn add_to(&self, point: &mut Point) {
        if self.surplus > 0 {
            point.value = Value::Int(self.whole.saturating_add(self.surplus));
            point.start = self.start.or(point.start);
        }
    }

    /// Adds a series of the whole GPU.
    fn push(&mut self, (device, code): &(Arc<str>, i64), log_since: Timestamp, batch: &mut Batch) {
        if self.surplus == 0 {
            return;
        }
        let count = self.whole.saturating_add(self.surplus);
        let mut point = Point::new(&hw::ERRORS, attributes(device, *code), count, Timestamp::now());
        point.start = Some(*self.start.get_or_insert(log_since));
        batch.points.push(point);
    }
}

/// Attributes of the count of an XID of a whole GPU, the same whoever reports it.
pub fn attributes(device: &Arc<str>, code: i64) -> Attributes {
    let code: AttributeValue = if code == OTHER { "_OTHER".into() } else { code.into() };
    Attributes::new([
        (key::HW_ID, Arc::clone(device).into()),
        (key::HW_TYPE, "gpu".into()),
        (key::ERROR_TYPE, XID.into()),
        (key::NVIDIA_XID, code),
    ])
}

/// GPU and code of a point that counts XIDs.
fn xid_of(point: &Point) -> Option<(Arc<str>, i64)> {
    if *point.instrument != hw::ERRORS || point.attributes.text(key::ERROR_TYPE) != Some(XID) {
        return None;
    }
    match point.attributes.get(key::HW_ID)? {
        AttributeValue::Str(device) => Some((Arc::clone(device), point.attributes.int(key::NVIDIA_XID)?)),
        AttributeValue::Int(_) | AttributeValue::Bool(_) => None,
    }
}

fn has(batch: &Batch, (device, code): &(Arc<str>, i64)) -> bool {
    batch
        .points
        .iter()
        .filter_map(xid_of)
        .any(|found| found.0 == *device && found.1 == *code)
}

fn add(told: &mut BTreeMap<(Arc<str>, i64), Told>, key: (Arc<str>, i64), point: &Point, place: (usize, usize)) {
    let count = match point.value {
        Value::Int(count) => count.max(0),
        Value::Double(_) | Value::Histogram(_) => 0,
    };
    let of_code = told.entry(key).or_insert(Told {
        sum: 0,
        whole: 0,
        start: point.start,
        place: None,
    });
    of_code.sum = of_code.sum.saturating_add(count);
    if point.attributes.get(key::NVIDIA_GPU_INSTANCE).is_none() {
        of_code.whole = count;
        of_code.place = Some(place);
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
