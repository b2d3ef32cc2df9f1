//! Effect of a library that hangs or crashes on the other samplers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use accelscope_core::budget::Budget;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, Resource};
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::telemetry::{Build, OwnMetrics};
use accelscope_nvidia::{Launch, Settings, sampler};
use accelscope_pipeline::attribution::{self, Attribution};
use accelscope_pipeline::energy::Energy;
use accelscope_pipeline::{Limits, SeriesRegistry, Started};
use serde_json::json;

use super::LONG;
use super::nvml_support::{Fake, h100};

/// Time limit of a hanging NVML: far longer than a busy machine may keep a thread from running.
const HANG: Duration = Duration::from_secs(8);

/// Another sampler, with a short period.
struct Neighbour {
    runs: Arc<AtomicU64>,
    longest: Arc<AtomicU64>,
    last: Option<Instant>,
}

impl Sampler for Neighbour {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "neighbour",
            period: Duration::from_millis(20),
            deadline: Duration::from_secs(10),
        }
    }

    fn sample(&mut self, _out: &mut Vec<Batch>) -> Outcome {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest.fetch_max(millis(now - last), Ordering::SeqCst);
        }
        self.runs.fetch_add(1, Ordering::SeqCst);
        Outcome::Sampled
    }
}

/// The longest pause of a thread that only sleeps: how long the machine stood still.
struct Clock {
    longest: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Clock {
    fn start() -> Self {
        let (longest, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (to, end) = (Arc::clone(&longest), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut last = Instant::now();
            while !end.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
                let now = Instant::now();
                to.fetch_max(millis(now - last), Ordering::SeqCst);
                last = now;
            }
        });
        Self { longest, is_over }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Runs the sampler beside another until it has failed and, after the call of `mend`, works. Returns how often the
/// other ran until the failure was known, and by how much its longest pause was longer than the machine stood still.
fn beside_another(fake: &mut Fake, mend: impl FnOnce(&mut Fake)) -> (u64, Duration) {
    let settings = Settings {
        library: Some(fake.library()),
        period: Duration::from_millis(100),
        ..Settings::default()
    };
    let nvml = sampler(Launch {
        program: env!("CARGO_BIN_EXE_agent").into(),
        settings,
        roots: HostRoots::new("/"),
        node_name: "node".to_owned(),
        patience: HANG,
        rest: Duration::from_mins(1),
    });
    let (runs, longest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let neighbour = Neighbour {
        runs: Arc::clone(&runs),
        longest: Arc::clone(&longest),
        last: None,
    };
    let limits = Limits {
        series_per_instrument: 1000,
        series: 10_000,
    };
    let registry = Arc::new(SeriesRegistry::new(
        &Budget::default(),
        OwnMetrics::install(Build::default()),
        Resource::default(),
        limits,
        false,
        None,
    ));
    let attribution = Attribution::new(&HostRoots::new("/"), attribution::Settings::default());
    let samplers: Vec<Box<dyn Sampler>> = vec![Box::new(nvml.unwrap()), Box::new(neighbour)];
    let clock = Clock::start();
    let started = Started::launch(samplers, registry.clone(), attribution, Energy::none()).unwrap();
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let until = Instant::now() + 2 * LONG;
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait("the failure is not known", &|| {
        started.statuses[0].last().is_some_and(|report| report.is_failure())
    });
    let pause = longest.load(Ordering::SeqCst);
    let stood_still = clock.longest.load(Ordering::SeqCst);
    let seen = (
        runs.load(Ordering::SeqCst),
        Duration::from_millis(pause.saturating_sub(stood_still)),
    );
    wait("the other sampler has stopped", &|| {
        runs.load(Ordering::SeqCst) > seen.0 + 10
    });
    mend(fake);
    wait("the worker does not come back", &|| {
        registry
            .live()
            .iter()
            .any(|series| series.instrument.name == "hw.power")
    });
    seen
}

#[test]
fn while_nvml_hangs_the_others_keep_their_period_and_it_comes_back() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["hang"] = json!({"nvmlDeviceGetCount_v2": "forever"}));
    let (runs, longest) = beside_another(&mut fake, |fake| fake.change(|state| state["hang"] = json!({})));
    assert!(
        runs > 10 && longest < HANG / 2,
        "{runs} runs while NVML hung for {HANG:?}, {longest:?} between two of them"
    );
}

#[test]
fn while_nvml_crashes_the_others_keep_their_period_and_it_comes_back() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["crash"] = json!({"nvmlDeviceGetCount_v2": "abort"}));
    beside_another(&mut fake, |fake| fake.change(|state| state["crash"] = json!({})));
}
