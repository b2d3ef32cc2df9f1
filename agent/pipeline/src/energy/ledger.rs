//! Who has used how much energy so far.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::metric::catalogue::accel::ENERGY_ATTRIBUTED;
use accelscope_core::metric::{Attribute, AttributeValue, Attributes, Owner, Point, Timestamp, key};

use super::split::split;
use crate::sizes;

/// How long what somebody used is kept who is not there any more. Who comes back later begins a count of his own.
const RETENTION: Duration = Duration::from_mins(10);

/// Most series, where memory allows it; what others used is nobody's.
const MAX_SERIES: usize = 8192;

const MICROS: f64 = 1e6;

/// What was measured.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Value of `hw.type`.
    pub(super) kind: &'static str,
    /// Value of `accel.energy.source`.
    pub(super) source: Arc<str>,
    /// When.
    pub(super) time: Timestamp,
}

/// Somebody's part of what was used.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// His attributes; empty for nobody.
    pub(super) who: Arc<Attributes>,
    /// What he is in at the outermost, where the attributes do not name it.
    pub(super) outermost: Option<Arc<str>>,
    /// From 0 to 1.
    pub(super) part: f64,
    /// Whether he is shown before he has used anything.
    pub(super) is_shown: bool,
}

/// Shares by one method.
#[derive(Debug, Clone)]
pub(super) struct Shares {
    /// Value of `accel.energy.method`.
    pub(super) method: &'static str,
    /// Of each who is there; what is missing to 1 is nobody's.
    pub(super) shares: Vec<Share>,
}

/// Totals of one sampler's energy.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: HashMap<Key, Total>,
    /// Who uses which kind of hardware.
    present: HashSet<(Arc<Attributes>, &'static str)>,
    run: u64,
    account: Account,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    who: Arc<Attributes>,
    kind: &'static str,
    source: Arc<str>,
    /// Nothing for nobody's.
    method: Option<&'static str>,
}

#[derive(Debug)]
struct Total {
    micros: u64,
    start: Timestamp,
    time: Timestamp,
    series: Arc<Attributes>,
    outermost: Option<Arc<str>>,
    /// The run in which its owner was there last, and when that was.
    run: u64,
    used: Instant,
    is_shown: bool,
}

impl Ledger {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            entries: HashMap::new(),
            present: HashSet::new(),
            run: 0,
            account: budget.account(Purpose::Totals),
        }
    }

    /// A run begins: nobody is known to be there.
    pub(super) fn begin(&mut self) {
        self.run += 1;
        self.present.clear();
    }

    /// Divides what was measured.
    pub(super) fn add(&mut self, measured: &Measured, micros: u64, shares: &Shares, now: Instant) {
        let (parts, mut rest) = split(micros, shares.shares.iter().map(|share| share.part));
        for (share, part) in shares.shares.iter().zip(parts) {
            let is_new = part > 0 || share.is_shown;
            if share.who.is_empty() || !self.has_room(measured, share, shares.method, is_new) {
                rest += part;
                continue;
            }
            self.present.insert((Arc::clone(&share.who), measured.kind));
            let total = self.total(measured, &share.who, Some(shares.method), now);
            total.micros += part;
            total.outermost.clone_from(&share.outermost);
            total.is_shown |= share.is_shown || part > 0;
        }
        let nobody = Arc::new(Attributes::empty());
        let total = self.total(measured, &nobody, None, now);
        total.micros += rest;
        total.is_shown = true;
        self.present.insert((nobody, measured.kind));
    }

    /// The totals of all who are there.
    pub(super) fn points(&mut self) -> Vec<Point> {
        let run = self.run;
        let newest = self.entries.values().map(|total| total.used).max();
        for (key, total) in &mut self.entries {
            // Who is there keeps what he used by another method too.
            if total.run != run && self.present.contains(&(Arc::clone(&key.who), key.kind)) {
                total.run = run;
                total.used = newest.unwrap_or(total.used);
            }
        }
        if let Some(newest) = newest {
            self.entries
                .retain(|_, total| newest.saturating_duration_since(total.used) < RETENTION);
        }
        self.account.set(self.size());
        let shown = self.entries.values().filter(|total| total.run == run && total.is_shown);
        shown.map(Total::point).collect()
    }

    /// Whether there is an entry, or may be. Those who are not there any more make room for those who are.
    fn has_room(&mut self, measured: &Measured, share: &Share, method: &'static str, is_wanted: bool) -> bool {
        if self.entries.contains_key(&key_of(measured, &share.who, Some(method))) {
            return true;
        }
        if is_wanted && self.is_full() {
            let run = self.run;
            let mut gone: Vec<Instant> = self.gone().map(|total| total.used).collect();
            gone.sort_unstable();
            // A part of them at once: the next ones need room too.
            if let Some(oldest) = gone.get(gone.len() / 4) {
                let before = self.entries.len();
                self.entries
                    .retain(|_, total| total.run + 1 >= run || total.used > *oldest);
                count_forgotten("total", (before - self.entries.len()) as u64);
                self.account.set(self.size());
            }
        }
        is_wanted && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_SERIES || self.account.room() < self.size()
    }

    /// Totals of those who were not there in the last run either.
    fn gone(&self) -> impl Iterator<Item = &Total> {
        self.entries.values().filter(|total| total.run + 1 < self.run)
    }

    fn size(&self) -> u64 {
        let sizes = self.entries.values().next();
        let each = sizes.map_or(0, |total| sizes::TOTAL + total.series.size());
        (each * self.entries.len()) as u64
    }

    fn total(
        &mut self,
        measured: &Measured,
        who: &Arc<Attributes>,
        method: Option<&'static str>,
        now: Instant,
    ) -> &mut Total {
        let key = key_of(measured, who, method);
        let run = self.run;
        let total = self.entries.entry(key).or_insert_with(|| Total {
            micros: 0,
            start: measured.time,
            time: measured.time,
            series: series(measured, who, method),
            outermost: None,
            run,
            used: now,
            is_shown: false,
        });
        // Of several meters of one run the last one.
        let time = if total.run == run {
            total.time.max(measured.time)
        } else {
            measured.time
        };
        (total.time, total.run, total.used) = (time, run, now);
        total
    }
}

impl Total {
    fn point(&self) -> Point {
        Point {
            owner: self.outermost.clone().map(Owner::Outermost),
            start: Some(self.start),
            ..Point::new(
                &ENERGY_ATTRIBUTED,
                Arc::clone(&self.series),
                self.micros as f64 / MICROS,
                self.time,
            )
        }
    }
}

fn key_of(measured: &Measured, who: &Arc<Attributes>, method: Option<&'static str>) -> Key {
    Key {
        who: Arc::clone(who),
        kind: measured.kind,
        source: Arc::clone(&measured.source),
        method,
    }
}

fn series(measured: &Measured, who: &Attributes, method: Option<&'static str>) -> Arc<Attributes> {
    let how: Attribute = match method {
        Some(method) => (key::ACCEL_ENERGY_METHOD, method.into()),
        None => (key::ACCEL_ENERGY_UNATTRIBUTED, true.into()),
    };
    Arc::new(who.with([
        (key::HW_TYPE, measured.kind.into()),
        (
            key::ACCEL_ENERGY_SOURCE,
            AttributeValue::Str(Arc::clone(&measured.source)),
        ),
        how,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(unit: String) -> Share {
        Share {
            who: Arc::new(Attributes::new([(key::SYSTEMD_UNIT, unit.into())])),
            outermost: None,
            part: 0.0005,
            is_shown: true,
        }
    }

    /// Those who have ended make room for those who are there.
    #[test]
    fn ten_thousand_units_that_came_and_went_keep_no_room_from_a_new_one() {
        let mut ledger = Ledger::new(&Budget::default());
        let now = Instant::now();
        let measured = Measured {
            kind: "cpu",
            source: "rapl".into(),
            time: Timestamp::now(),
        };
        let mut add = |shares: Vec<Share>| {
            let shares = Shares {
                method: "cpu_time",
                shares,
            };
            ledger.begin();
            ledger.add(&measured, 1_000_000, &shares, now);
            ledger.points()
        };
        for round in 0..12 {
            let units = (0..1000).map(|unit| share(format!("short-{round}-{unit}.service")));
            let points = add(units.collect());
            assert_eq!(points.len(), 1001, "round {round}");
        }
        let points = add(vec![share("late.service".to_owned())]);
        let late = points
            .iter()
            .find(|point| point.attributes.text(key::SYSTEMD_UNIT) == Some("late.service"));
        assert_eq!(late.and_then(|point| point.value.as_f64()), Some(0.0005));
    }
}
