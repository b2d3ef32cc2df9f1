//! The worker that reads the fake, and its points.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, Owner, Point};
use accelscope_core::sampler::{Outcome, Sampler};
use accelscope_core::worker::WorkerSampler;
use accelscope_nvidia::{Launch, Settings, sampler};

use super::Fake;

/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// A worker of the program with the fake as its library.
pub(crate) struct Worker(pub(crate) WorkerSampler);

impl Worker {
    pub(crate) fn of(fake: &Fake) -> Self {
        Self::with_patience(fake, PATIENCE)
    }

    pub(crate) fn with_patience(fake: &Fake, patience: Duration) -> Self {
        let settings = Settings {
            library: Some(fake.library()),
            ..Settings::default()
        };
        let launch = Launch {
            program: env!("CARGO_BIN_EXE_agent").into(),
            settings,
            roots: HostRoots::new("/"),
            node_name: "node".to_owned(),
            patience,
            rest: Duration::from_mins(1),
        };
        Self(sampler(launch).unwrap())
    }

    pub(crate) fn read(&mut self) -> Points {
        let mut batches: Vec<Batch> = Vec::new();
        let outcome = self.0.sample(&mut batches);
        assert!(matches!(outcome, Outcome::Sampled), "{outcome:?}");
        Points(batches.into_iter().flat_map(|batch| batch.points).collect())
    }

    /// The first successful reading: the worker may pause after a failure, or be slow.
    pub(crate) fn read_at_last(&mut self) -> Points {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut batches: Vec<Batch> = Vec::new();
            let outcome = self.0.sample(&mut batches);
            if matches!(outcome, Outcome::Sampled) {
                return Points(batches.into_iter().flat_map(|batch| batch.points).collect());
            }
            assert!(Instant::now() < until, "{outcome:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// All points of one reading.
pub(crate) struct Points(pub(crate) Vec<Point>);

impl Points {
    pub(crate) fn all(&self, name: &str, with: &[(&str, &str)]) -> Vec<&Point> {
        let has = |point: &Point, key: &str, value: &str| match (point.attributes.get(key), &point.owner) {
            (Some(found), _) => found.to_string() == value,
            (None, Some(Owner::Process { process, .. })) => key == "process.pid" && process.pid.to_string() == value,
            (None, _) => false,
        };
        let fits =
            |point: &&Point| point.instrument.name == name && with.iter().all(|(key, value)| has(point, key, value));
        self.0.iter().filter(fits).collect()
    }

    /// Value of the only such series, if there is one.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, with: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, with);
        assert!(found.len() <= 1, "{name} {with:?}: {found:?}");
        found.first().and_then(|point| point.value.as_f64())
    }

    pub(crate) fn of_process(&self, name: &str, pid: u32, with: &[(&str, &str)]) -> Option<f64> {
        let pid = pid.to_string();
        let with: Vec<_> = with.iter().copied().chain([("process.pid", pid.as_str())]).collect();
        self.value(name, &with)
    }
}

#[track_caller]
pub(crate) fn close(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-6),
        "{found:?} instead of {expected}"
    );
}

pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}
