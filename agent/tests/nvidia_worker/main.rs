//! NVML in a worker: the values, and every fault of a vendor's library, driver or GPU.
#![cfg(feature = "nvidia")]
// The state of a GPU is one long `json!`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod faults;
mod neighbours;
#[path = "../nvml_support/mod.rs"]
mod nvml_support;
mod quarantine;
mod values;

use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, Point};
use accelscope_core::sampler::{Outcome, Sampler};
use accelscope_core::worker::WorkerSampler;
use accelscope_nvidia::{Launch, Settings, sampler};
use nvml_support::{Fake, uuid};

const LONG: Duration = Duration::from_secs(120);
/// Time limit of a call in tests that provoke a hang: more than a reading takes on a busy machine.
const SHORT: Duration = Duration::from_secs(10);

fn worker(fake: &Fake, patience: Duration) -> WorkerSampler {
    resting(fake, patience, Duration::from_mins(1))
}

/// A worker that skips calls that hung or crashed for this long.
fn resting(fake: &Fake, patience: Duration, rest: Duration) -> WorkerSampler {
    let settings = Settings {
        library: Some(fake.library()),
        period: Duration::from_secs(60),
        ..Settings::default()
    };
    sampler(Launch {
        program: env!("CARGO_BIN_EXE_agent").into(),
        settings,
        roots: HostRoots::new("/"),
        node_name: "node".to_owned(),
        patience,
        rest,
    })
    .unwrap()
}

fn run(worker: &mut WorkerSampler) -> (Outcome, Vec<Point>) {
    let mut batches: Vec<Batch> = Vec::new();
    let outcome = worker.sample(&mut batches);
    (outcome, batches.into_iter().flat_map(|batch| batch.points).collect())
}

fn sampled(worker: &mut WorkerSampler) -> Vec<Point> {
    let (outcome, points) = run(worker);
    assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
    points
}

/// The worker may pause after a failure: repeated until it samples.
fn until_sampled(worker: &mut WorkerSampler, is_it: impl Fn(&[Point]) -> bool) -> Vec<Point> {
    let until = Instant::now() + LONG;
    loop {
        let (outcome, points) = run(worker);
        if matches!(outcome, Outcome::Sampled) && is_it(&points) {
            return points;
        }
        assert!(Instant::now() < until, "{outcome:?} after {LONG:?}: {points:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Value of the only series of that GPU with these attributes.
fn value(points: &[Point], name: &str, gpu: usize, more: &[(&str, &str)]) -> Option<f64> {
    find(points, name, gpu, more).and_then(|point| point.value.as_f64())
}

fn find<'a>(points: &'a [Point], name: &str, gpu: usize, more: &[(&str, &str)]) -> Option<&'a Point> {
    let fits = |point: &&Point| {
        let has = |key: &str, value: &str| {
            point
                .attributes
                .get(key)
                .is_some_and(|found| found.to_string() == value)
        };
        point.instrument.name == name && has("hw.id", &uuid(gpu)) && more.iter().all(|(key, value)| has(key, value))
    };
    let found: Vec<_> = points.iter().filter(fits).collect();
    assert!(found.len() <= 1, "{name} {gpu} {more:?}: {found:?}");
    found.first().copied()
}

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-9),
        "{found:?} instead of {expected}"
    );
}
