//! What the budget takes series to be is what they take. Alone in its program: it compares resident memory.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::budget::{Budget, Purpose};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{instrument, owned};
use accelscope_core::metric::{
    Attributes, Batch, Instrument, Kind, Merge, Owner, Point, ProcessKey, Resource, Timestamp, Value, key,
};
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::telemetry::{Build, OwnMetrics};
use accelscope_pipeline::attribution::{Attribution, Settings};
use accelscope_pipeline::energy::Energy;
use accelscope_pipeline::{Limits, SeriesRegistry, Started};

static FRAMES: Instrument = owned(
    instrument("test.frames", "1", Kind::Counter, &[], "Made up."),
    Merge::Sum,
);
static RATE: Instrument = owned(instrument("test.rate", "1", Kind::Gauge, &[], "Made up."), Merge::Sum);
static POWER: Instrument = instrument("test.power", "1", Kind::Gauge, &[], "Made up.");

/// Series of each instrument.
const SERIES: usize = 15_000;

struct Names {
    process: ProcessKey,
}

impl Sampler for Names {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "test",
            period: Duration::from_hours(1),
            deadline: Duration::from_mins(1),
        }
    }

    fn wait(&mut self, _: Instant) {
        std::thread::park();
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let now = Timestamp::now();
        let mut points = Vec::new();
        for nth in 0..SERIES {
            let name = format!("network {nth} of an application with many of them");
            let attributes = Attributes::new([(key::HW_ID, "0001:01:00.0".into()), (key::HW_NAME, name.into())]);
            let attributes = Arc::new(attributes);
            for instrument in [&FRAMES, &RATE, &POWER] {
                points.push(Point {
                    instrument,
                    attributes: attributes.clone(),
                    owner: instrument.owned.then_some(Owner::Process {
                        process: self.process,
                        always_pid: false,
                    }),
                    value: Value::Int(1),
                    time: now,
                    start: (instrument.kind == Kind::Counter).then_some(now),
                });
            }
        }
        out.push(Batch::new("test", "", points));
        Outcome::Sampled
    }
}

/// Bytes of this process that are resident, after what is free was returned.
fn resident() -> u64 {
    accelscope_memory::heap::trim();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn the_estimate_of_what_series_take_is_what_they_take() {
    accelscope_memory::heap::share_one();
    accelscope_memory::heap::return_large_blocks();
    let budget = Budget::new(1 << 30, 0);
    let limits = Limits {
        series_per_instrument: 2 * SERIES,
        series: 6 * SERIES,
    };
    let own = OwnMetrics::install(Build::default());
    let registry = SeriesRegistry::new(&budget, own, Resource::default(), limits, false, None);
    let roots = HostRoots::new("/");
    let process = Processes::new(&roots).key(std::process::id()).unwrap();
    let attribution = Attribution::within(
        &budget,
        &roots,
        Settings {
            name_timeout: Duration::ZERO,
            ..Settings::default()
        },
    );
    let before = resident();
    let started = Started::launch(
        vec![Box::new(Names { process })],
        Arc::new(registry),
        attribution,
        Energy::none(),
    )
    .unwrap();
    let until = Instant::now() + Duration::from_mins(2);
    while started.registry.live().len() < 3 * SERIES {
        assert!(Instant::now() < until, "{} series", started.registry.live().len());
        std::thread::sleep(Duration::from_millis(20));
    }
    let taken = resident() - before;
    let estimated = budget.used(Purpose::Series);
    assert!(
        estimated > taken / 2 && estimated < taken * 2,
        "{estimated} bytes are estimated, {taken} are taken: correct the numbers in sizes.rs"
    );
}
