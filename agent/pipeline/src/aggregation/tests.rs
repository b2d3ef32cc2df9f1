use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::attribution::Resolved;
use crate::test_support::{ACTIVE, FRAMES, QUEUE_MAX, QUEUE_MIN, UTILIZATION, WAITS};
use accelscope_core::metric::{Attributes, Histogram, Instrument, Timestamp, Value, key};

/// Processes in containers, as a test wants them.
#[derive(Default)]
struct World {
    containers: HashMap<u32, Arc<Resolved>>,
    waiting: HashSet<u32>,
    dead: HashSet<u32>,
}

impl World {
    fn with(mut self, pids: &[u32], container: &str) -> Self {
        let attributes = Arc::new(Resolved::from(vec![(key::CONTAINER_ID, container.into())]));
        self.containers
            .extend(pids.iter().map(|pid| (*pid, attributes.clone())));
        self
    }
}

impl World {
    fn resolve(&self, owner: &Owner) -> Resolution {
        match owner {
            Owner::Process { process, .. } if self.waiting.contains(&process.pid) => Resolution::Wait,
            Owner::Process { process, .. } => match self.containers.get(&process.pid) {
                Some(attributes) => Resolution::Known(attributes.clone()),
                None => Resolution::Unknown,
            },
            Owner::Cgroup(owner) => {
                let attributes = vec![(key::PROCESS_EXECUTABLE_NAME, owner.executable.clone().into())];
                Resolution::Known(Arc::new(attributes.into()))
            }
            Owner::Within(_) | Owner::Outermost(_) => Resolution::Unknown,
        }
    }
}

struct Scene {
    aggregator: Aggregator,
    world: World,
    now: Instant,
}

impl Scene {
    fn new(world: World) -> Self {
        Self {
            aggregator: Aggregator::default(),
            world,
            now: Instant::now(),
        }
    }

    fn apply(&mut self, points: Vec<Point>) -> Vec<Point> {
        let batch = Batch {
            part: Part::whole("test"),
            points,
        };
        let dead = &self.world.dead;
        self.aggregator.evict(self.now, |process| !dead.contains(&process.pid));
        self.aggregator
            .apply(batch, self.now, |owner| self.world.resolve(owner))
    }

    /// The values of a batch of one counter, by container.
    fn frames(&mut self, time: u64, readings: &[(u32, i64)]) -> Vec<(String, i64, u64)> {
        let points = readings
            .iter()
            .map(|(pid, value)| point(&FRAMES, *pid, *value, time, Some(1)));
        let mut shown: Vec<_> = self.apply(points.collect()).iter().map(shown).collect();
        shown.sort();
        shown
    }
}

fn point(instrument: &'static Instrument, pid: u32, value: impl Into<Value>, time: u64, start: Option<u64>) -> Point {
    let process = ProcessKey { pid, start_ticks: 1 };
    Point {
        instrument,
        attributes: Arc::new(Attributes::empty()),
        owner: Some(Owner::Process {
            process,
            always_pid: false,
        }),
        value: value.into(),
        time: Timestamp::from_unix_nanos(time),
        start: start.map(Timestamp::from_unix_nanos),
    }
}

fn shown(point: &Point) -> (String, i64, u64) {
    let container = point
        .attributes
        .get(key::CONTAINER_ID)
        .map(ToString::to_string)
        .unwrap_or_default();
    let Value::Int(value) = point.value else {
        panic!("not a whole number: {:?}", point.value)
    };
    (container, value, point.start.unwrap().unix_nanos())
}

fn one(container: &str, value: i64, start: u64) -> Vec<(String, i64, u64)> {
    vec![(container.to_owned(), value, start)]
}

#[test]
fn gauges_of_one_container_combine_by_their_rule() {
    let mut scene = Scene::new(World::default().with(&[1, 2], "a").with(&[3], "b"));
    let points = [1, 2, 3].iter().flat_map(|&pid| {
        [&UTILIZATION, &QUEUE_MIN, &QUEUE_MAX]
            .map(|instrument| point(instrument, pid, f64::from(pid), u64::from(pid), None))
    });
    let out = scene.apply(points.collect());
    let value = |instrument: &Instrument, container: &str| {
        let fits = |point: &&Point| {
            point.instrument == instrument && point.attributes.get(key::CONTAINER_ID) == Some(&container.into())
        };
        let found: Vec<_> = out.iter().filter(fits).collect();
        assert_eq!(found.len(), 1);
        (
            found[0].value.as_f64().unwrap(),
            found[0].time.unix_nanos(),
            found[0].owner.clone(),
        )
    };
    assert_eq!(value(&UTILIZATION, "a"), (3.0, 2, None));
    assert_eq!(value(&QUEUE_MIN, "a"), (1.0, 2, None));
    assert_eq!(value(&QUEUE_MAX, "a"), (2.0, 2, None));
    assert_eq!(value(&UTILIZATION, "b"), (3.0, 3, None));
}

#[test]
fn what_a_dead_process_did_stays_in_its_containers_counter() {
    let mut scene = Scene::new(World::default().with(&[1, 2, 3], "a"));
    assert_eq!(scene.frames(2, &[(1, 10), (2, 5)]), one("a", 15, 1));
    assert_eq!(scene.frames(3, &[(1, 12), (2, 9)]), one("a", 21, 1));
    scene.world.dead.insert(1);
    assert_eq!(scene.frames(4, &[(2, 10)]), one("a", 22, 1));
    assert_eq!(scene.frames(5, &[(2, 10), (3, 4)]), one("a", 26, 1));
}

#[test]
fn a_count_that_starts_again_starts_from_nothing() {
    let mut scene = Scene::new(World::default().with(&[1], "a"));
    assert_eq!(scene.frames(2, &[(1, 10)]), one("a", 10, 1));
    assert_eq!(scene.frames(3, &[(1, 4)]), one("a", 14, 1));
    // It overtook its last value before it was read again, but says that it is another count.
    let again = scene.apply(vec![point(&FRAMES, 1, 6, 9, Some(3))]);
    assert_eq!(again.iter().map(shown).collect::<Vec<_>>(), one("a", 20, 1));
    // A wall clock that was set moves the start of the same count.
    let moved = scene.apply(vec![point(&FRAMES, 1, 7, 10, Some(4))]);
    assert_eq!(moved.iter().map(shown).collect::<Vec<_>>(), one("a", 21, 1));
}

#[test]
fn a_process_that_was_missing_for_a_while_is_not_counted_twice() {
    let mut scene = Scene::new(World::default().with(&[1, 2], "a"));
    assert_eq!(scene.frames(2, &[(1, 10), (2, 5)]), one("a", 15, 1));
    assert_eq!(scene.frames(3, &[(2, 6)]), one("a", 16, 1));
    scene.now += Duration::from_mins(10);
    assert_eq!(scene.frames(4, &[(2, 6)]), one("a", 16, 1));
    assert_eq!(scene.frames(5, &[(1, 11), (2, 6)]), one("a", 17, 1));
}

#[test]
fn a_container_that_is_empty_for_a_while_goes_on_counting() {
    let mut scene = Scene::new(World::default().with(&[1, 2], "a"));
    assert_eq!(scene.frames(2, &[(1, 10)]), one("a", 10, 1));
    assert_eq!(scene.frames(3, &[]), []);
    scene.world.dead.insert(1);
    scene.now += Duration::from_mins(9);
    assert_eq!(scene.frames(4, &[(2, 1)]), one("a", 11, 1));
}

#[test]
fn what_ended_long_ago_is_forgotten() {
    let mut scene = Scene::new(World::default().with(&[1, 2], "a").with(&[3], "b"));
    scene.frames(2, &[(1, 10), (3, 7)]);
    scene.world.dead.insert(1);
    for _ in 0..3 {
        scene.now += Duration::from_mins(50);
        assert_eq!(scene.frames(9, &[(3, 8)]), one("b", 8, 1));
    }
    let state = &scene.aggregator.parts[&Part::whole("test")];
    assert_eq!(format!("{state:?}").matches("Source {").count(), 1);
    let after = scene.apply(vec![point(&FRAMES, 2, 3, 9, Some(8)), point(&FRAMES, 3, 8, 9, Some(1))]);
    assert_eq!(
        after.iter().map(shown).collect::<Vec<_>>(),
        [one("a", 3, 8), one("b", 8, 1)].concat()
    );
}

#[test]
fn a_late_name_begins_a_series_without_counting_anew() {
    let mut scene = Scene::new(World::default().with(&[1], "a"));
    assert_eq!(scene.frames(2, &[(1, 10)]), one("a", 10, 1));
    scene.world = World::default().with(&[1], "named");
    assert_eq!(scene.frames(3, &[(1, 12)]), one("named", 2, 2));
}

#[test]
fn what_waits_for_its_name_is_withheld_and_not_lost() {
    let mut scene = Scene::new(World::default().with(&[1], "a"));
    scene.world.waiting.insert(1);
    assert_eq!(scene.frames(2, &[(1, 10)]), []);
    scene.world.waiting.clear();
    assert_eq!(scene.frames(3, &[(1, 14)]), one("a", 14, 1));
}

#[test]
fn readings_of_unknown_processes_are_one_series_and_do_not_disturb_each_other() {
    let mut scene = Scene::new(World::default());
    let unowned = |value: i64, time| Point {
        owner: None,
        ..point(&FRAMES, 0, value, time, Some(1))
    };
    let first = scene.apply(vec![unowned(100, 2), unowned(5, 2)]);
    assert_eq!(first.iter().map(shown).collect::<Vec<_>>(), one("", 105, 1));
    let second = scene.apply(vec![unowned(101, 3), unowned(7, 3)]);
    assert_eq!(second.iter().map(shown).collect::<Vec<_>>(), one("", 108, 1));
}

#[test]
fn histograms_add_up_like_counters() {
    let mut scene = Scene::new(World::default().with(&[1, 2], "a"));
    let waits = |pid, low, high| {
        let histogram = Histogram {
            count: low + high,
            sum: high as f64,
            buckets: [low, high].into(),
        };
        point(&WAITS, pid, Value::Histogram(Arc::new(histogram)), 2, Some(1))
    };
    scene.apply(vec![waits(1, 1, 2), waits(2, 3, 0)]);
    // The first is gone, the second was started again.
    let out = scene.apply(vec![waits(2, 0, 1)]);
    let Value::Histogram(total) = &out[0].value else {
        panic!("no histogram")
    };
    assert_eq!(
        (out.len(), total.count, total.sum, &*total.buckets),
        (1, 7, 3.0, &[4, 3][..])
    );
}

#[test]
fn instruments_without_owners_pass_through() {
    let mut scene = Scene::new(World::default().with(&[1], "a"));
    let out = scene.apply(vec![
        Point {
            owner: None,
            ..point(&ACTIVE, 0, 1, 2, None)
        },
        point(&UTILIZATION, 1, 0.5, 2, None),
    ]);
    assert_eq!(
        (out[0].instrument.name, &out[0].value, out[0].start),
        (ACTIVE.name, &Value::Int(1), None)
    );
    assert_eq!(out.len(), 2);
}

#[test]
fn ten_thousand_short_lives_are_ten_thousand_frames_and_one_series() {
    let mut scene = Scene::new(World::default());
    let mut last = Vec::new();
    for pid in 1..=10_000 {
        scene.world = std::mem::take(&mut scene.world).with(&[pid], "a");
        scene.world.dead.insert(pid - 1);
        scene.now += Duration::from_secs(1);
        last = scene.frames(u64::from(pid) + 1, &[(pid, 1)]);
    }
    assert_eq!(last, one("a", 10_000, 1));
    let state = format!("{:?}", scene.aggregator.parts);
    assert!(state.matches("Source {").count() <= 61, "the dead are not forgotten");
    assert_eq!(state.matches("Total {").count(), 1);
}

#[test]
fn what_was_forgotten_for_want_of_memory_is_not_counted_twice_when_it_comes_back() {
    let pids: Vec<u32> = (1..=400).collect();
    let mut scene = Scene::new(World::default().with(&pids, "a"));
    // Hardly any memory.
    scene.aggregator = Aggregator::new(&Budget::new(1 << 20, 8));
    let all = |value| pids.iter().map(|pid| (*pid, value)).collect::<Vec<_>>();
    assert_eq!(scene.frames(2, &all(10)), one("a", 4000, 1));
    assert_eq!(scene.frames(3, &[]), []);
    let (readings, _) = scene.aggregator.kept();
    assert!(readings < 400, "nothing was forgotten");
    let again = scene.frames(4, &all(11));
    assert_eq!(
        again,
        one("a", 4000 + readings as i64, 1),
        "what those counted that are known"
    );
    assert_eq!(scene.frames(5, &all(12)), one("a", 4400 + readings as i64, 1));
}

#[test]
fn a_total_that_was_forgotten_begins_anew_with_a_new_start() {
    let mut scene = Scene::new(World::default().with(&[1], "a").with(&[2], "b"));
    scene.frames(2, &[(1, 10), (2, 1)]);
    scene.frames(3, &[(2, 1)]);
    // The process lives, and so its last reading is known.
    scene.now += Duration::from_mins(11);
    scene.frames(4, &[(2, 1)]);
    let after = scene.frames(5, &[(1, 12), (2, 1)]);
    assert_eq!(after, [one("a", 2, 2), one("b", 1, 1)].concat());
}
