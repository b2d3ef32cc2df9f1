use std::sync::{Arc, Mutex};

mod order;
mod shares;

use super::*;
use crate::test_support::{ACTIVE, FRAMES, RATE, WAITS};
use accelscope_core::metric::{Attributes, Batch, Histogram, Instrument, Value, key};

const LIMITS: Limits = Limits {
    series_per_instrument: 2,
    series: 100,
};

/// Receivers have a resolution of one millisecond.
fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_nanos(millis * 1_000_000)
}

fn point(instrument: &'static Instrument, name: &str, value: impl Into<Value>, time: u64) -> Point {
    Point {
        instrument,
        attributes: Arc::new(Attributes::new([(key::HW_ID, name.into())])),
        owner: None,
        value: value.into(),
        time: at(time),
        start: None,
    }
}

fn shown(series: &Series) -> (String, Option<f64>, u64) {
    let name = series.attributes.iter().map(|(_, v)| v.to_string()).collect::<String>();
    (
        name,
        series.value.as_ref().and_then(Value::as_f64),
        series.time.unix_nanos() / 1_000_000,
    )
}

fn apply(store: &mut Store, part: &str, points: Vec<Point>, time: u64) -> Vec<(String, Option<f64>, u64)> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&seen);
    store.observer = Some(Box::new(move |series| observed.lock().unwrap().push(shown(series))));
    store.apply(vec![Batch::new("test", part, points)], |_| false, at(time));
    std::mem::take(&mut *seen.lock().unwrap())
}

fn collect(store: &mut Store) -> Vec<(String, Option<f64>, u64)> {
    store.collect().iter().map(|one| shown(&one.series)).collect()
}

#[test]
fn a_series_that_its_part_no_longer_has_ends_once() {
    let mut store = Store::new(LIMITS, true, None);
    apply(&mut store, "a", vec![point(&RATE, "x", 1.0, 1)], 1);
    apply(&mut store, "b", vec![point(&RATE, "y", 2.0, 1)], 1);
    assert_eq!(collect(&mut store).len(), 2);
    assert_eq!(apply(&mut store, "a", vec![], 5), [("x".to_owned(), None, 5)]);
    assert_eq!(collect(&mut store), [("x".to_owned(), None, 5)]);
    assert_eq!(apply(&mut store, "a", vec![], 6), []);
    assert_eq!(collect(&mut store), []);
    assert_eq!(
        store.live().map(shown).collect::<Vec<_>>(),
        [("y".to_owned(), Some(2.0), 1)]
    );
}

#[test]
fn a_series_that_lived_between_two_collections_is_collected_with_its_value_and_its_end() {
    let mut store = Store::new(LIMITS, true, None);
    apply(&mut store, "a", vec![point(&FRAMES, "x", 7, 1)], 1);
    apply(&mut store, "a", vec![], 2);
    assert_eq!(
        collect(&mut store),
        [("x".to_owned(), Some(7.0), 1), ("x".to_owned(), None, 2)]
    );
}

#[test]
fn what_was_not_read_again_is_not_collected_again() {
    let mut store = Store::new(LIMITS, true, None);
    apply(&mut store, "a", vec![point(&FRAMES, "x", 7, 1)], 1);
    apply(&mut store, "b", vec![point(&FRAMES, "y", 8, 1)], 1);
    assert_eq!(collect(&mut store).len(), 2);
    apply(&mut store, "b", vec![point(&FRAMES, "y", 9, 2)], 2);
    assert_eq!(collect(&mut store), [("y".to_owned(), Some(9.0), 2)]);
}

#[test]
fn beyond_the_limit_everything_is_still_counted_in_the_overflow_series() {
    let mut store = Store::new(LIMITS, true, None);
    let points = |values: [i64; 4]| {
        ["a", "b", "c", "d"]
            .iter()
            .zip(values)
            .map(|(name, value)| point(&FRAMES, name, value, 1))
            .collect::<Vec<_>>()
    };
    apply(&mut store, "p", points([10, 10, 10, 10]), 1);
    apply(&mut store, "p", points([11, 12, 13, 14]), 2);
    let mut all: Vec<_> = store.live().map(shown).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let values: Vec<_> = all
        .iter()
        .map(|(name, value, _)| (name.as_str(), value.unwrap()))
        .collect();
    assert_eq!(values, [("a", 11.0), ("b", 12.0), ("true", 27.0)]);
    assert!(
        store
            .live()
            .any(|s| s.attributes.get(key::OTEL_METRIC_OVERFLOW).is_some())
    );
}

#[test]
fn counters_long_gone_make_room_in_the_overflow_series() {
    let mut store = Store::new(
        Limits {
            series_per_instrument: 0,
            series: 2,
        },
        false,
        None,
    );
    let mut sum_after = |part: &str, names: &[&str], minute: u64| {
        let time = minute * 60_000;
        let points = names.iter().map(|name| point(&FRAMES, name, 10, time));
        apply(&mut store, part, points.collect(), time);
        store.live().map(shown).next().unwrap().1
    };
    assert_eq!(sum_after("p", &["a", "b"], 1), Some(20.0));
    assert_eq!(sum_after("p", &["b", "c"], 2), Some(20.0), "no room for a third");
    assert_eq!(sum_after("p", &["b", "c"], 70), Some(30.0), "the first is long gone");
    assert_eq!(
        sum_after("p", &["b", "c"], 71),
        Some(30.0),
        "what stayed is not counted again"
    );
}

#[test]
fn the_overflow_series_takes_no_other_ones_room() {
    let mut store = Store::new(LIMITS, false, None);
    let mut time = 0;
    let mut names_after = |names: &[&str]| {
        time += 10;
        let points = names.iter().map(|name| point(&RATE, name, 1.0, time));
        apply(&mut store, "p", points.collect(), time);
        let mut names: Vec<_> = store.live().map(|series| shown(series).0).collect();
        names.sort();
        names
    };
    assert_eq!(names_after(&["a", "b", "c"]), ["a", "b", "true"]);
    assert_eq!(names_after(&["a", "c"]), ["a", "c"], "there is room again");
    assert_eq!(names_after(&["a", "c", "d"]), ["a", "c", "true"]);
}

#[test]
fn an_ended_series_makes_room() {
    let mut store = Store::new(LIMITS, false, None);
    let rates = |names: &[&str]| names.iter().map(|n| point(&RATE, n, 1.0, 1)).collect::<Vec<_>>();
    apply(&mut store, "p", rates(&["a", "b"]), 1);
    apply(&mut store, "p", rates(&["c", "d"]), 2);
    let mut names: Vec<_> = store.live().map(|s| shown(s).0).collect();
    names.sort();
    assert_eq!(names, ["c", "d"]);
}

#[test]
fn the_overflow_series_counts_exactly_and_never_decreases() {
    let limits = Limits {
        series_per_instrument: 0,
        ..LIMITS
    };
    let mut store = Store::new(limits, false, None);
    let mut sum_after = |values: &[(&str, i64)], time| {
        let points = values.iter().map(|(name, value)| point(&FRAMES, name, *value, time));
        apply(&mut store, "p", points.collect(), time);
        store.live().next().unwrap().value.clone()
    };
    let large = 1 << 53;
    assert_eq!(sum_after(&[("a", large), ("b", 1)], 1), Some(Value::Int(large + 1)));
    assert_eq!(
        sum_after(&[("a", 3), ("b", 1)], 2),
        Some(Value::Int(large + 4)),
        "the first was reset"
    );
}

#[test]
fn a_series_with_the_attributes_of_the_overflow_series_gives_its_room_back() {
    let limits = Limits {
        series_per_instrument: 1,
        ..LIMITS
    };
    let mut store = Store::new(limits, false, None);
    // The OpenTelemetry SDK has an overflow series of its own.
    let own = Point {
        attributes: Arc::new(Attributes::new([(key::OTEL_METRIC_OVERFLOW, true.into())])),
        ..point(&RATE, "", 1.0, 1)
    };
    apply(&mut store, "p", vec![own.clone()], 1);
    apply(&mut store, "p", vec![own, point(&RATE, "a", 2.0, 2)], 2);
    apply(&mut store, "p", vec![], 3);
    assert_eq!(store.live().len(), 0);
    apply(&mut store, "p", vec![point(&RATE, "x", 1.0, 4)], 4);
    assert_eq!(
        store.live().map(shown).collect::<Vec<_>>(),
        [("x".to_owned(), Some(1.0), 4)]
    );
}
