//! One budget of memory that caches, queues, series and answers draw on (`limits.memory`).
//!
//! The parts of the agent that grow with their input keep an [`Account`] each, and ask it how much they may hold. An account
//! is bounded by a part of the budget, so that none takes all of it, and caches and queues, which can give way without an
//! error in what is shown, get only what the others leave. So when memory is short, caches shrink first, then new series go
//! into overflow series, then a queue loses its oldest records; a series that lives stays.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::metrics::{Counter, UpDownCounter};

use crate::metric::{catalogue, key};
use crate::telemetry;

const MIB: u64 = 1 << 20;

/// Budget in bytes where nothing else is configured.
pub const DEFAULT: u64 = 48 * MIB;

/// Smallest budget in bytes: the agent itself, with a few hundred series and a queue of a few records.
pub const LEAST: u64 = 24 * MIB;

/// What does not depend on input, in bytes: the program, its libraries and threads (about 11 MiB are resident with every source
/// at work), buffers of one collection, and the readings that are on their way from a sampler to the store.
pub const FIXED: u64 = 14 * MIB;

/// For each destination of OTLP, in bytes: the request that is being sent is in memory beside its records, joined and
/// compressed.
pub const PER_DESTINATION: u64 = 4 * MIB;

/// What memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Live series, with what their counters counted last.
    Series,
    /// Ends of series that wait for a collection.
    Ends,
    /// Counters of what has ended and may come back.
    Totals,
    /// Names of processes, containers and control groups.
    Names,
    /// Answers to requests.
    Answers,
    /// Records that wait for receivers. Those of several destinations share their bytes, so that only the longest queue counts.
    Queue,
}

impl Purpose {
    /// All of them, in the order of the catalogue.
    pub const ALL: [Self; 6] = [
        Self::Series,
        Self::Ends,
        Self::Totals,
        Self::Names,
        Self::Answers,
        Self::Queue,
    ];

    /// Its value of `agent.memory.purpose`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Ends => "ends",
            Self::Totals => "totals",
            Self::Names => "names",
            Self::Answers => "answers",
            Self::Queue => "queue",
        }
    }

    /// Hundredths of the budget that it has in any case, and that it has at most. The first of one are what the others leave
    /// of it: the sum of the second of those that do not give way and the first of those that do is below 100.
    const fn hundredths(self) -> (u64, u64) {
        match self {
            Self::Series => (45, 45),
            Self::Ends | Self::Totals => (10, 10),
            Self::Names => (8, 20),
            Self::Answers => (15, 15),
            Self::Queue => (12, 100),
        }
    }
}

/// Memory that may be held in all. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    /// What accounts may hold together.
    available: u64,
    used: [AtomicU64; Purpose::ALL.len()],
    /// What each queue holds, and how many there have been.
    queues: Mutex<(BTreeMap<u64, u64>, u64)>,
}

impl Default for Budget {
    /// Of [`DEFAULT`] bytes and one destination.
    fn default() -> Self {
        Self::new(DEFAULT, 1)
    }
}

impl Budget {
    /// Of `limit` bytes for the whole process, which pushes to so many destinations.
    pub fn new(limit: u64, destinations: usize) -> Self {
        let fixed = FIXED + PER_DESTINATION * destinations as u64;
        Self(Arc::new(Inner {
            limit,
            // A third is left even where a budget is too small for all that is configured.
            available: limit.saturating_sub(fixed).max(limit / 3),
            used: Default::default(),
            queues: Mutex::default(),
        }))
    }

    /// The whole of it in bytes, what the program itself takes included.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// An account without anything in it.
    pub fn account(&self, purpose: Purpose) -> Account {
        let mut queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.1 += 1;
        Account {
            budget: self.clone(),
            purpose,
            number: queues.1,
            held: AtomicU64::new(0),
        }
    }

    /// Bytes that are held for this purpose.
    pub fn used(&self, purpose: Purpose) -> u64 {
        self.0.used[purpose as usize].load(Ordering::Relaxed)
    }

    /// Most bytes that may be held for this purpose now, what is held for it included.
    pub fn room(&self, purpose: Purpose) -> u64 {
        let others = Purpose::ALL.into_iter().filter(|other| *other != purpose);
        let share = |hundredths: u64| self.0.available * hundredths / 100;
        let used = |other| match other {
            // Names give way to the queue, down to what they have in any case.
            Purpose::Names if purpose == Purpose::Queue => self.used(other).min(share(other.hundredths().0)),
            _ => self.used(other),
        };
        let others: u64 = others.map(used).sum();
        let (least, most) = purpose.hundredths();
        self.0.available.saturating_sub(others).clamp(share(least), share(most))
    }

    /// Records limit and use of the budget as metrics.
    pub fn record(&self) {
        static RECORDED: OnceLock<Recorded> = OnceLock::new();
        RECORDED.get_or_init(Recorded::default).update(self);
    }
}

/// What one part of the agent holds. It is given back when the account is dropped.
#[derive(Debug)]
pub struct Account {
    budget: Budget,
    purpose: Purpose,
    number: u64,
    held: AtomicU64,
}

impl Account {
    /// It holds so many bytes in all from now on.
    pub fn set(&self, bytes: u64) {
        let before = self.held.swap(bytes, Ordering::Relaxed);
        let used = &self.budget.0.used[self.purpose as usize];
        if self.purpose == Purpose::Queue {
            let mut queues = self.budget.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
            if bytes > 0 {
                queues.0.insert(self.number, bytes);
            } else {
                queues.0.remove(&self.number);
            }
            // Each has the newest records of the same sequence.
            used.store(queues.0.values().copied().max().unwrap_or_default(), Ordering::Relaxed);
            return;
        }
        if bytes >= before {
            used.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            used.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that it holds.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Most bytes that it may hold now in all, if no other account of the purpose takes more. It may hold more than that
    /// when the others have grown since; then it gives up what it can.
    pub fn room(&self) -> u64 {
        let room = self.budget.room(self.purpose);
        if self.purpose == Purpose::Queue {
            return room;
        }
        let others = self.budget.used(self.purpose).saturating_sub(self.held());
        room.saturating_sub(others)
    }

    /// Takes so many bytes for as long as the result is kept; nothing where there is no room for them.
    pub fn hold(&self, bytes: u64) -> Option<Self> {
        let held = self.budget.account(self.purpose);
        held.set(bytes);
        (bytes <= held.room()).then_some(held)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Counts what was given up before its time because the budget left no room: `what` is the value of `agent.reason`.
pub fn count_forgotten(what: &'static str, entries: u64) {
    static COUNTER: OnceLock<Counter<u64>> = OnceLock::new();
    let counter = COUNTER.get_or_init(|| {
        let counter = telemetry::counter(&catalogue::agent::MEMORY_FORGOTTEN);
        // A counter starts at a visible 0: otherwise the first loss is no increase to an alert.
        for what in FORGOTTEN {
            counter.add(0, &[telemetry::label(key::AGENT_REASON, *what)]);
        }
        counter
    });
    counter.add(entries, &[telemetry::label(key::AGENT_REASON, what)]);
}

/// Every value of `agent.reason` in `agent.memory.forgotten`.
pub const FORGOTTEN: &[&str] = &["counter", "total", "process", "container", "owner"];

#[derive(Debug)]
struct Recorded {
    usage: UpDownCounter<i64>,
    limit: UpDownCounter<i64>,
    shown: [AtomicU64; Purpose::ALL.len() + 1],
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            usage: telemetry::up_down_counter(&catalogue::agent::MEMORY_HELD),
            limit: telemetry::up_down_counter(&catalogue::agent::MEMORY_LIMIT),
            shown: Default::default(),
        }
    }
}

impl Recorded {
    fn update(&self, budget: &Budget) {
        let grown = |at: usize, now: u64| {
            let before = self.shown[at].swap(now, Ordering::Relaxed);
            now.cast_signed() - before.cast_signed()
        };
        for purpose in Purpose::ALL {
            let label = telemetry::label(key::AGENT_MEMORY_PURPOSE, purpose.as_str());
            self.usage.add(grown(purpose as usize, budget.used(purpose)), &[label]);
        }
        self.limit.add(grown(Purpose::ALL.len(), budget.limit()), &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With 100 MiB for accounts.
    fn budget() -> Budget {
        Budget::new(100 * MIB + FIXED + PER_DESTINATION, 1)
    }

    #[test]
    fn the_parts_of_those_that_keep_theirs_never_exceed_the_whole() {
        let firm: u64 = Purpose::ALL.into_iter().map(|purpose| purpose.hundredths().0).sum();
        assert!(firm <= 100, "{firm}");
    }

    #[test]
    fn caches_and_queues_get_what_the_others_leave() {
        let budget = budget();
        let [series, names, queue] = [Purpose::Series, Purpose::Names, Purpose::Queue].map(|of| budget.account(of));
        assert_eq!((names.room(), queue.room()), (20 * MIB, 100 * MIB));
        names.set(20 * MIB);
        assert_eq!(queue.room(), 92 * MIB, "what names hold beyond their part is to be had");
        queue.set(78 * MIB);
        series.set(40 * MIB);
        assert_eq!(queue.room(), 52 * MIB);
        assert_eq!(names.room(), 8 * MIB, "caches shrink first");
        names.set(8 * MIB);
        assert_eq!(queue.room(), 52 * MIB);
        assert_eq!(series.room(), 45 * MIB, "live series keep theirs, whatever waits");
        drop(series);
        assert_eq!(queue.room(), 92 * MIB, "and what they held is free when they are gone");
    }

    #[test]
    fn accounts_of_one_purpose_share_its_room_and_queues_share_their_bytes() {
        let budget = budget();
        let (one, other) = (budget.account(Purpose::Totals), budget.account(Purpose::Totals));
        one.set(7 * MIB);
        assert_eq!((one.room(), other.room()), (10 * MIB, 3 * MIB));
        let answers = budget.account(Purpose::Answers);
        let first = answers.hold(10 * MIB).unwrap();
        assert!(answers.hold(6 * MIB).is_none());
        assert!(answers.hold(5 * MIB).is_some());
        drop(first);
        let (long, short) = (budget.account(Purpose::Queue), budget.account(Purpose::Queue));
        long.set(9 * MIB);
        short.set(4 * MIB);
        assert_eq!(budget.used(Purpose::Queue), 9 * MIB);
        drop(long);
        assert_eq!(budget.used(Purpose::Queue), 4 * MIB);
        assert_eq!(budget.used(Purpose::Answers), 0);
        assert!(answers.hold(6 * MIB).is_some());
    }

    #[test]
    fn a_budget_that_is_too_small_leaves_something() {
        let budget = Budget::new(MIB, 8);
        assert!(budget.account(Purpose::Series).room() > 0);
    }
}
