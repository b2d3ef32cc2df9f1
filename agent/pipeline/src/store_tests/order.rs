//! Ends and the order of time.

use super::*;

/// Times of what is collected, by series, in their order.
fn assert_ordered(collected: &[(String, Option<f64>, u64)], newest: &mut HashMap<String, u64>) {
    for (name, value, time) in collected {
        let before = newest.insert(name.clone(), *time);
        assert!(
            before.is_none_or(|before| before < *time),
            "{name} {value:?} at {time} after {before:?}"
        );
    }
}

#[test]
fn a_series_that_moves_between_parts_that_are_read_together_does_not_end() {
    let mut store = Store::new(LIMITS, true, None);
    let batch = |part: &str, points| Batch::new("test", part, points);
    store.apply(vec![batch("", vec![point(&RATE, "x", 1.0, 1)])], |_| false, at(2));
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(1.0), 1)]);
    // The part that lacks it comes first, or is gone.
    let moved = vec![batch("", vec![]), batch("gpu", vec![point(&RATE, "x", 2.0, 11)])];
    store.apply(moved, |_| false, at(15));
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(2.0), 11)]);
    store.apply(
        vec![batch("other", vec![point(&RATE, "x", 3.0, 21)])],
        |part| part.sampler == "test",
        at(25),
    );
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(3.0), 21)]);
    store.apply(vec![batch("gpu", vec![]), batch("", vec![])], |_| false, at(35));
    assert_eq!(collect(&mut store), [], "it belongs to the part that had it last");
}

#[test]
fn a_series_that_comes_back_before_its_end_was_pushed_has_not_ended() {
    let mut store = Store::new(LIMITS, true, None);
    apply(&mut store, "a", vec![point(&RATE, "x", 1.0, 1)], 1);
    collect(&mut store);
    apply(&mut store, "a", vec![], 20);
    apply(&mut store, "b", vec![point(&RATE, "x", 2.0, 18)], 21);
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(2.0), 18)]);
}

#[test]
fn a_count_that_begins_anew_follows_the_end_of_the_old_one() {
    let mut store = Store::new(LIMITS, true, None);
    let count = |value: i64, start, time| Point {
        start: Some(at(start)),
        ..point(&FRAMES, "x", value, time)
    };
    apply(&mut store, "a", vec![count(9, 1, 2)], 2);
    collect(&mut store);
    apply(&mut store, "a", vec![], 10);
    apply(&mut store, "a", vec![count(1, 11, 12)], 12);
    assert_eq!(
        collect(&mut store),
        [("x".to_owned(), None, 10), ("x".to_owned(), Some(1.0), 12)]
    );
}

#[test]
fn no_value_is_older_than_what_was_pushed_for_its_series() {
    let (mut store, mut newest) = (Store::new(LIMITS, true, None), HashMap::new());
    let mut step = |part: &str, points: Vec<Point>, time| {
        apply(&mut store, part, points, time);
        let collected = collect(&mut store);
        assert_ordered(&collected, &mut newest);
        collected.len()
    };
    assert_eq!(step("a", vec![point(&RATE, "x", 1.0, 10)], 11), 1);
    assert_eq!(step("a", vec![], 20), 1);
    assert_eq!(
        step("b", vec![point(&RATE, "x", 2.0, 15)], 21),
        0,
        "read before the end"
    );
    assert_eq!(step("b", vec![point(&RATE, "x", 3.0, 25)], 26), 1);
    assert_eq!(
        step("a", vec![point(&RATE, "x", 4.0, 24)], 27),
        0,
        "older than the newest"
    );
    // An end within the last value's millisecond would be refused by Prometheus.
    assert_eq!(step("a", vec![point(&RATE, "x", 5.0, 30)], 30), 1);
    assert_eq!(step("a", vec![], 30), 1);
    assert_eq!(step("a", vec![point(&RATE, "x", 6.0, 40)], 40), 1);
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_a_series() {
    let mut store = Store::new(LIMITS, true, None);
    let hour = 3_600_000;
    apply(&mut store, "a", vec![point(&RATE, "x", 1.0, hour)], hour);
    apply(&mut store, "a", vec![point(&RATE, "x", 2.0, 5)], 6);
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(2.0), 5)]);
    apply(&mut store, "a", vec![point(&RATE, "x", 3.0, 15)], 16);
    assert_eq!(collect(&mut store), [("x".to_owned(), Some(3.0), 15)]);
}

/// The first loss, often the only one, must be an increase to a receiver.
#[test]
fn a_counter_of_the_agent_itself_is_born_at_zero() {
    let mut store = Store::new(LIMITS, true, None);
    let own = |name: &str, value: i64, time| Point {
        start: Some(at(1)),
        ..point(&FRAMES, name, value, time)
    };
    let mut pushed = |points: Vec<Point>, time| {
        store.apply(vec![Batch::whole(telemetry::SCOPE, points)], |_| false, at(time));
        let mut pushed = collect(&mut store);
        pushed.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
        pushed
    };
    let x = |value, time| ("x".to_owned(), Some(value), time);
    let y = |value, time| ("y".to_owned(), Some(value), time);
    assert_eq!(pushed(vec![own("x", 2, 10)], 11), [x(0.0, 1), x(2.0, 10)]);
    assert_eq!(
        pushed(vec![own("x", 2, 20), own("y", 1, 20)], 21),
        [x(2.0, 20), y(0.0, 11), y(1.0, 20)]
    );
    assert_eq!(
        pushed(vec![own("x", 3, 30), own("y", 1, 30)], 31),
        [x(3.0, 30), y(1.0, 30)]
    );
    // Those of others may have been counting before.
    apply(&mut store, "p", vec![own("z", 5, 40)], 41);
    assert_eq!(collect(&mut store).len(), 1);
}

/// Start and time of the only series.
fn span(store: &Store) -> (u64, u64) {
    let series = store.live().next().unwrap();
    let start = series.start.unwrap();
    (start.unix_nanos() / 1_000_000, series.time.unix_nanos() / 1_000_000)
}

#[test]
fn a_count_never_starts_after_it_is_read_and_keeps_its_start() {
    let mut store = Store::new(LIMITS, true, None);
    let read = |store: &mut Store, start: u64, time: u64| {
        let point = Point {
            start: Some(at(start)),
            ..point(&FRAMES, "x", 7, time)
        };
        apply(store, "a", vec![point], time);
        span(store)
    };
    assert_eq!(read(&mut store, 5_000_000, 6_000_000), (5_000_000, 6_000_000));
    // The clock is set back by an hour; the source has noted the start before.
    assert_eq!(read(&mut store, 5_000_000, 2_400_000), (2_400_000, 2_400_000));
    assert_eq!(read(&mut store, 5_000_000, 2_410_000), (2_400_000, 2_410_000));
    // It catches up with the start that was noted: still the same count.
    assert_eq!(read(&mut store, 5_000_000, 5_100_000), (2_400_000, 5_100_000));
    // Another count.
    assert_eq!(read(&mut store, 5_150_000, 5_200_000), (5_150_000, 5_200_000));
    // Its end is no earlier than its start, either.
    store.apply(Vec::new(), |_| false, at(1_000_000));
    assert_eq!(span(&store), (1_000_000, 1_000_000));
}
