//! Who has how many series where there are too many.

use super::*;
use accelscope_core::metric;
use accelscope_core::metric::catalogue::accel::ENERGY_ATTRIBUTED;

/// A point of a container.
fn of(container: &str, instrument: &'static Instrument, label: u64, value: i64, time: u64) -> Point {
    let attributes = Attributes::new([
        (key::CONTAINER_ID, container.into()),
        (key::PROCESS_EXECUTABLE_NAME, label.to_string().into()),
    ]);
    Point {
        attributes: Arc::new(attributes),
        ..point(instrument, "", value, time)
    }
}

/// How many series each container has, and the sum of all values.
fn shares(store: &Store) -> (Vec<(String, usize)>, i64) {
    let (mut counts, mut sum) = (std::collections::BTreeMap::new(), 0);
    for series in store.live() {
        let owner = series.attributes.text(key::CONTAINER_ID).unwrap_or("overflow");
        *counts.entry(owner.to_owned()).or_default() += 1;
        sum += match series.value {
            Some(Value::Int(number)) => number,
            ref other => panic!("{other:?}"),
        };
    }
    (counts.into_iter().collect(), sum)
}

fn counts(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected
        .iter()
        .map(|(owner, count)| ((*owner).to_owned(), *count))
        .collect()
}

const TEN: Limits = Limits {
    series_per_instrument: 10,
    series: 1000,
};
const FIFTEEN: Limits = Limits { series: 15, ..TEN };

#[test]
fn a_flood_of_one_owner_takes_no_series_of_another_whoever_comes_first() {
    for flood_first in [true, false] {
        let mut store = Store::new(TEN, true, None);
        for time in 1..20 {
            let flood = (0..100).map(|label| of("flood", &FRAMES, label, i64::try_from(time).unwrap(), time));
            let small = (0..3).map(|label| of("small", &FRAMES, label, i64::try_from(time).unwrap(), time));
            let points: Vec<_> = match (flood_first, time) {
                (true, 1) => flood.collect(),
                (false, 1) => small.collect(),
                _ => flood.chain(small).collect(),
            };
            let count = points.len();
            apply(&mut store, "p", points, time);
            let (owners, sum) = shares(&store);
            assert_eq!(
                sum,
                i64::try_from(time as usize * count).unwrap(),
                "what was counted stays counted"
            );
            if time > 1 {
                assert_eq!(owners, counts(&[("flood", 7), ("overflow", 1), ("small", 3)]));
            }
            let collected = collect(&mut store);
            if time > 2 {
                assert_eq!(collected.len(), 11, "nothing ends and nothing begins: {collected:?}");
            }
        }
    }
}

#[test]
fn owners_that_all_flood_get_equal_shares_of_one_instrument_and_of_all() {
    let flood = |owner: &'static str, instrument, time| (0..50).map(move |label| of(owner, instrument, label, 1, time));
    let both = |time| flood("a", &FRAMES, time).chain(flood("b", &FRAMES, time));
    let mut store = Store::new(TEN, false, None);
    apply(&mut store, "p", flood("a", &FRAMES, 1).collect(), 1);
    assert_eq!(shares(&store).0, counts(&[("a", 10), ("overflow", 1)]));
    apply(&mut store, "p", both(2).collect(), 2);
    assert_eq!(shares(&store), (counts(&[("a", 5), ("b", 5), ("overflow", 1)]), 100));
    // Of another instrument they have room of their own, but not beyond the bound of all together.
    let mut store = Store::new(FIFTEEN, false, None);
    apply(&mut store, "p", both(1).collect(), 1);
    let all = |time| both(time).chain(flood("a", &RATE, time)).chain(flood("c", &RATE, time));
    for time in 2..5 {
        apply(&mut store, "p", all(time).collect(), time);
        let expected = counts(&[("a", 5), ("b", 5), ("c", 5), ("overflow", 2)]);
        assert_eq!(shares(&store).0, expected);
    }
}

#[test]
fn series_that_come_and_go_beside_a_flood_do_not_make_its_own_come_and_go() {
    let mut store = Store::new(TEN, true, None);
    let flood = |time| (0..20).map(move |label| of("flood", &RATE, label, 1, time));
    let mut ended = Vec::new();
    for time in 1..100 {
        let visitor = (0..time % 3).map(|label| of("visitor", &RATE, label, 1, time));
        apply(&mut store, "p", flood(time).chain(visitor).collect(), time);
        ended.extend(
            collect(&mut store)
                .into_iter()
                .filter(|(name, value, _)| value.is_none() && name.starts_with("flood")),
        );
    }
    assert_eq!(ended.len(), 1, "{ended:?}");
}

#[test]
fn who_gave_up_series_gets_them_again_after_the_clock_was_set_back() {
    let mut store = Store::new(TEN, true, None);
    let flood = |time| (0..10).map(move |label| of("flood", &RATE, label, 1, time));
    let (hour, minute) = (3_600_000, 60_000);
    apply(&mut store, "p", flood(hour).collect(), hour);
    let visitor = of("visitor", &RATE, 0, 1, hour + 1);
    apply(&mut store, "p", flood(hour + 1).chain([visitor]).collect(), hour + 1);
    assert_eq!(
        shares(&store).0,
        counts(&[("flood", 9), ("overflow", 1), ("visitor", 1)])
    );
    for time in [minute, 8 * minute] {
        apply(&mut store, "p", flood(time).collect(), time);
    }
    assert_eq!(shares(&store).0, counts(&[("flood", 10)]));
}

#[test]
fn the_hardware_keeps_its_series_when_there_are_too_many_workloads() {
    let mut store = Store::new(FIFTEEN, false, None);
    let device = |time| (0..6).map(move |number| point(&ACTIVE, &format!("gpu-{number}"), 1, time));
    let workloads = |time| {
        let each = (0..40).map(move |number| of(&format!("container-{number}"), &RATE, 0, 1, time));
        each.chain((0..40).map(move |number| of(&format!("container-{number}"), &FRAMES, 0, 1, time)))
    };
    apply(&mut store, "w", workloads(1).collect(), 1);
    apply(&mut store, "d", device(2).collect(), 2);
    apply(&mut store, "w", workloads(3).collect(), 3);
    let devices = store.live().filter(|series| series.instrument == &ACTIVE).count();
    assert_eq!((devices, store.live().len()), (6, 15 + 2));
}

#[test]
fn what_overflows_of_several_parts_is_one_sum() {
    let mut store = Store::new(LIMITS, false, None);
    let rates = |names: [&str; 3], time| names.map(|name| point(&RATE, name, 1, time)).to_vec();
    apply(&mut store, "p", rates(["a", "b", "c"], 1), 1);
    apply(&mut store, "q", rates(["d", "e", "f"], 2), 2);
    apply(&mut store, "p", rates(["a", "b", "c"], 3), 3);
    assert_eq!(shares(&store).1, 6);
    apply(&mut store, "q", vec![], 4);
    assert_eq!(shares(&store).1, 3);
}

#[test]
fn histograms_that_have_no_room_are_added_up() {
    let mut store = Store::new(LIMITS, false, None);
    let waits = |count: u64, time| {
        let one = move |name: &str| Point {
            value: Value::Histogram(Arc::new(Histogram {
                count,
                sum: 0.5,
                buckets: [count, 0].into(),
            })),
            ..point(&WAITS, name, 0, time)
        };
        ["a", "b", "c", "d"].map(one).to_vec()
    };
    apply(&mut store, "p", waits(1, 1), 1);
    apply(&mut store, "p", waits(3, 2), 2);
    let all = store.live().map(|series| match &series.value {
        Some(Value::Histogram(histogram)) => histogram.count,
        other => panic!("{other:?}"),
    });
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    assert_eq!(all, [3, 3, 6]);
}

#[test]
fn jobs_that_run_in_one_unit_have_shares_of_their_own() {
    for job in [
        key::SLURM_JOB_ID,
        key::PBS_JOB_ID,
        key::LSF_JOB_ID,
        key::HTCONDOR_SLOT_NAME,
    ] {
        let of = |id: &str, label: u64| {
            let attributes = Attributes::new([
                (key::SYSTEMD_UNIT, "slurmstepd.scope".into()),
                (job, id.into()),
                (key::PROCESS_EXECUTABLE_NAME, label.to_string().into()),
            ]);
            Point {
                attributes: Arc::new(attributes),
                ..point(&FRAMES, "", 1, 1)
            }
        };
        let mut store = Store::new(TEN, true, None);
        let flood = (0..100).map(|label| of("17", label));
        apply(
            &mut store,
            "p",
            flood.chain((0..3).map(|label| of("18", label))).collect(),
            1,
        );
        let of_small = store.live().filter(|series| series.attributes.text(job) == Some("18"));
        assert_eq!(of_small.count(), 3, "{job}");
    }
}

const MINUTE: u64 = 60_000;

/// One owner of twelve counters, and others that come for a while: where there is room again counters return to it as
/// gauges do, and whatever moves there and back is counted once.
#[test]
fn counters_get_their_series_again_when_there_is_room() {
    let mut store = Store::new(TEN, true, None);
    let mut own_counts = Vec::new();
    for minute in 1..100 {
        let time = minute * MINUTE;
        let has_visitors = minute % 30 < 10;
        let read = |instrument| {
            let value = i64::try_from(minute * minute).unwrap();
            let stays = (0..12).map(move |label| of("stays", instrument, label, value, time));
            let visitors = (0..if has_visitors { 4 } else { 0 }).map(move |number| {
                // One after the other, so that each visit is of new ones.
                of(&format!("visitor-{}-{number}", minute / 30), instrument, 0, value, time)
            });
            stays.chain(visitors).collect::<Vec<_>>()
        };
        let (counters, gauges) = (read(&FRAMES), read(&RATE));
        let sum: i64 = counters
            .iter()
            .filter_map(|point| Some(point.value.as_f64()? as i64))
            .sum();
        apply(&mut store, "counters", counters, time);
        apply(&mut store, "gauges", gauges, time);
        let of_kind = |instrument: &'static Instrument| {
            let series = store.live().filter(move |series| series.instrument == instrument);
            series.filter(|series| series.attributes.text(key::CONTAINER_ID) == Some("stays"))
        };
        let shown = store.live().filter(|series| series.instrument == &FRAMES);
        let shown: i64 = shown
            .filter_map(|series| Some(series.value.as_ref()?.as_f64()? as i64))
            .sum();
        assert_eq!(shown, sum, "what was counted is counted once, in minute {minute}");
        assert_eq!(of_kind(&FRAMES).count(), of_kind(&RATE).count(), "in minute {minute}");
        own_counts.push(of_kind(&FRAMES).count());
        assert!(collect(&mut store).len() < 80);
    }
    let after = |minute: usize| own_counts[minute - 1];
    assert_eq!(
        [after(9), after(29), after(39), after(59), after(69), after(89)],
        [6, 10, 6, 10, 6, 10]
    );
}

#[test]
fn a_counter_with_a_series_again_begins_anew_and_ends_before() {
    let mut store = Store::new(TEN, true, None);
    let own = |value, time| (0..10).map(move |label| of("own", &FRAMES, label, value, time));
    let visitor = |time| of("visitor", &FRAMES, 0, 1, time);
    apply(&mut store, "p", own(100, MINUTE).collect(), MINUTE);
    let both = own(110, 2 * MINUTE).chain([visitor(2 * MINUTE)]);
    apply(&mut store, "p", both.collect(), 2 * MINUTE);
    store.collect();
    // The tenth is in the overflow series until its owner may have more again.
    apply(&mut store, "p", own(130, 3 * MINUTE).collect(), 3 * MINUTE);
    store.collect();
    apply(&mut store, "p", own(170, 8 * MINUTE).collect(), 8 * MINUTE);
    let back: Vec<_> = store
        .collect()
        .into_iter()
        .map(|one| one.series)
        .filter(|series| series.value == Some(Value::Int(40)))
        .collect();
    let [back] = &back[..] else { panic!("{back:?}") };
    assert_eq!(back.start, Some(at(3 * MINUTE)), "{back:?}");
    apply(&mut store, "p", own(175, 9 * MINUTE).collect(), 9 * MINUTE);
    let again = store
        .live()
        .find(|series| series.attributes == back.attributes)
        .unwrap();
    assert_eq!(again.value, Some(Value::Int(45)));
    assert_eq!(again.start, back.start);
    // Where a reading lacks it, it goes on from there.
    apply(&mut store, "p", own(180, 10 * MINUTE).take(9).collect(), 10 * MINUTE);
    apply(&mut store, "p", own(185, 11 * MINUTE).collect(), 11 * MINUTE);
    let again = store
        .live()
        .find(|series| series.attributes == back.attributes)
        .unwrap();
    assert_eq!((again.value.clone(), again.start), (Some(Value::Int(55)), back.start));
    // A count that begins anew is shown whole.
    let anew = own(3, 13 * MINUTE).map(|point| Point {
        start: Some(at(12 * MINUTE)),
        ..point
    });
    apply(&mut store, "p", anew.collect(), 13 * MINUTE);
    let again = store
        .live()
        .find(|series| series.attributes == back.attributes)
        .unwrap();
    assert_eq!(
        (again.value.clone(), again.start),
        (Some(Value::Int(3)), Some(at(12 * MINUTE)))
    );
}

/// A pod gets no more room for having many containers, named or not, nor does a batch job.
#[test]
fn a_pod_or_job_of_many_containers_takes_no_series_of_another() {
    type Owner = Vec<(&'static str, String)>;
    let names = |pod: &str, container: String| -> Owner {
        vec![
            (key::K8S_NAMESPACE_NAME, "edge".to_owned()),
            (key::K8S_POD_NAME, pod.to_owned()),
            (key::K8S_CONTAINER_NAME, container),
        ]
    };
    let in_pod = |pod: &str, id: String| -> Owner { vec![(key::K8S_POD_UID, pod.to_owned()), (key::CONTAINER_ID, id)] };
    let in_job =
        |job: &str, id: String| -> Owner { vec![(key::SLURM_JOB_ID, job.to_owned()), (key::CONTAINER_ID, id)] };
    let floods: [fn(&str, String) -> Owner; 3] = [names, in_pod, in_job];
    for of in floods {
        let point = |owner: Owner, label: u64, time| {
            let label = (key::PROCESS_EXECUTABLE_NAME, label.to_string());
            let attributes = owner.into_iter().chain([label]);
            let attributes = Attributes::new(attributes.map(|(key, text)| (key, text.into())));
            Point {
                attributes: Arc::new(attributes),
                ..point(&FRAMES, "", 1, time)
            }
        };
        let mut store = Store::new(TEN, true, None);
        for time in 1..4 {
            let small = (0..4).map(|label| point(of("small", "one".into()), label, time));
            let flood = (0..60).map(|nth| point(of("flood", format!("nested-{nth}")), 0, time));
            apply(&mut store, "p", small.chain(flood.filter(|_| time > 1)).collect(), time);
            let of_small = store.live().filter(|series| {
                let mut texts = series.attributes.iter().map(|(_, value)| value.to_string());
                texts.any(|text| text == "small")
            });
            assert_eq!(of_small.count(), 4, "at {time}");
            assert_eq!(store.live().len(), if time > 1 { 11 } else { 4 });
        }
    }
}

/// LXC, nspawn and what users claim have no id, and energy is of no process.
#[test]
fn a_user_who_claims_many_containers_takes_no_energy_series_of_others() {
    type Named<'a> = Vec<(&'static str, &'a str)>;
    let energy = |attributes: &[(&'static str, &str)], outermost: Option<&str>, time| Point {
        attributes: Arc::new(Attributes::new(
            attributes.iter().map(|(key, text)| (*key, (*text).into())),
        )),
        owner: outermost.map(|name| metric::Owner::Outermost(name.into())),
        ..point(&ENERGY_ATTRIBUTED, "", 1.0, time)
    };
    let limits = Limits {
        series_per_instrument: 2000,
        series: 100_000,
    };
    let claims: [for<'a> fn(&'a str) -> Named<'a>; 3] = [
        |name| vec![(key::CONTAINER_NAME, name), (key::ACCEL_OWNER, "user 1000")],
        |name| vec![(key::ACCEL_OWNER, name)],
        // What only the attributes that are no workload's tell apart.
        |name| vec![(key::ACCEL_ENERGY_METHOD, name)],
    ];
    for claim in claims {
        let mut store = Store::new(limits, true, None);
        for time in 1..4 {
            let flood = (0..3000).map(|nth| energy(&claim(&format!("x{nth}")), Some("user-1000.slice"), time));
            let others = (0..30).map(|nth| match (format!("other-{nth}"), nth % 3) {
                (name, 0) => energy(&[(key::CONTAINER_ID, &name)], None, time),
                (name, 1) => energy(&[(key::CONTAINER_NAME, &name)], Some(&name), time),
                (name, _) => energy(&[(key::SYSTEMD_UNIT, &name)], None, time),
            });
            let flood_first: Vec<_> = flood.chain(others).collect();
            apply(&mut store, "p", flood_first, time);
            let of_others = store.live().filter(|series| {
                let mut texts = series.attributes.iter().map(|(_, value)| value.to_string());
                texts.any(|text| text.starts_with("other-"))
            });
            assert_eq!(of_others.count(), 30, "at {time}");
            assert_eq!(store.live().len(), 2001);
        }
    }
}

#[test]
fn what_is_collected_says_whose_it_is_its_end_too() {
    let mut store = Store::new(TEN, true, None);
    let points = vec![
        of("flood", &FRAMES, 0, 1, 1),
        of("flood", &FRAMES, 1, 1, 1),
        point(&ACTIVE, "gpu", 1, 1),
    ];
    apply(&mut store, "p", points, 1);
    let mut collected = |value: bool| {
        let all = store.collect().into_iter();
        let mut owners: Vec<_> = all
            .filter(|one| one.series.value.is_some() == value)
            .map(|one| one.workload.map(|name| name.to_string()))
            .collect();
        owners.sort();
        store.end(|_| true, at(2));
        owners
    };
    let expected = [None, Some("flood".to_owned()), Some("flood".to_owned())];
    assert_eq!(collected(true), expected);
    assert_eq!(collected(false), expected);
}
