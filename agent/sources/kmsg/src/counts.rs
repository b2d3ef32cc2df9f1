//! Counts of a device's faults since the agent's start, and when the last of each was.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fault::Kind;
use crate::key;
use accelscope_core::faults::OTHER;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{AttributeValue, Attributes, Point, Timestamp};

/// Codes of a kind that are told apart beside those that are counted from 0; all others are [`OTHER`].
const MAX_CODES: usize = 64;

/// A series: kind and code.
pub(crate) type Series = (Kind, Option<i64>);

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_series: BTreeMap<Series, Count>,
    /// Whether there was a fault since the last points.
    is_unemitted: bool,
}

#[derive(Debug, Default)]
struct Count {
    value: i64,
    start: Option<Timestamp>,
    last: Option<Timestamp>,
    attributes: Option<Arc<Attributes>>,
}

impl Counts {
    /// The series that a fault is of: `_OTHER` if there are too many codes.
    pub(crate) fn series(&self, kind: Kind, code: Option<i64>) -> Series {
        let Some(code) = code else { return (kind, None) };
        let of_kind = self.by_series.range((kind, Some(i64::MIN))..=(kind, Some(i64::MAX)));
        let others = of_kind.filter(|((_, code), _)| code.is_some_and(|code| !kind.begins_at_0(code)));
        let is_known = kind.begins_at_0(code) || self.by_series.contains_key(&(kind, Some(code)));
        if is_known || others.count() < MAX_CODES {
            (kind, Some(code))
        } else {
            (kind, Some(OTHER))
        }
    }

    /// The series exists from now on.
    pub(crate) fn begin(&mut self, series: Series, now: Timestamp) {
        self.by_series.entry(series).or_default().start.get_or_insert(now);
    }

    /// There was such a fault at `time`.
    pub(crate) fn seen(&mut self, series: Series, time: Timestamp) {
        let count = self.by_series.entry(series).or_default();
        count.last = count.last.max(Some(time));
        self.is_unemitted = true;
    }

    /// It counts: it was after `since`, when the log began to be read.
    pub(crate) fn add(&mut self, series: Series, since: Timestamp) {
        let count = self.by_series.entry(series).or_default();
        count.start.get_or_insert(since);
        count.value = count.value.saturating_add(1);
        self.is_unemitted = true;
    }

    pub(crate) const fn is_unemitted(&self) -> bool {
        self.is_unemitted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// Counts from 0 again, as the log is opened anew or the device gets another id; the times stay.
    pub(crate) fn forget(&mut self) {
        for count in self.by_series.values_mut() {
            (count.value, count.start, count.attributes) = (0, None, None);
        }
    }

    /// Points of all series. XIDs are counted by others, and only shown with their times here.
    pub(crate) fn points(&mut self, id: &Arc<str>, hw_type: &'static str, now: Timestamp, points: &mut Vec<Point>) {
        self.is_unemitted = false;
        for ((kind, code), count) in &mut self.by_series {
            let attributes = count
                .attributes
                .get_or_insert_with(|| attributes(id, hw_type, *kind, *code).into());
            if let Some(last) = count.last {
                let seconds = last.unix_nanos() as f64 / 1e9;
                points.push(Point::new(
                    &accel::FAULT_LAST_SEEN,
                    Arc::clone(attributes),
                    seconds,
                    now,
                ));
            }
            if let Some(start) = count.start.filter(|_| *kind != Kind::Xid) {
                let mut point = Point::new(&hw::ERRORS, Arc::clone(attributes), count.value, now);
                point.start = Some(start.min(now));
                points.push(point);
            }
        }
    }
}

fn attributes(id: &Arc<str>, hw_type: &'static str, kind: Kind, code: Option<i64>) -> Attributes {
    let code_key = match kind {
        Kind::Sxid => key::NVIDIA_SXID,
        _ => key::NVIDIA_XID,
    };
    let of_device = [
        (key::HW_ID, Arc::clone(id).into()),
        (key::HW_TYPE, hw_type.into()),
        (key::ERROR_TYPE, kind.as_str().into()),
    ];
    let value = |code: i64| -> AttributeValue { if code == OTHER { "_OTHER".into() } else { code.into() } };
    let code = code.map(|code| (code_key, value(code)));
    Attributes::new(of_device.into_iter().chain(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_counted_from_0_is_told_apart_however_many_others_there_are() {
        for (kind, from_0) in [(Kind::Xid, &Kind::XIDS[..]), (Kind::Sxid, &Kind::SXIDS[..])] {
            let mut counts = Counts::default();
            for code in 100_000..100_200 {
                let series = counts.series(kind, Some(code));
                counts.add(series, Timestamp::now());
            }
            for code in from_0 {
                assert_eq!(counts.series(kind, Some(*code)), (kind, Some(*code)));
            }
            assert_eq!(counts.series(kind, Some(100_063)), (kind, Some(100_063)));
            assert_eq!(counts.series(kind, Some(100_064)), (kind, Some(OTHER)));
        }
    }
}
