//! What was measured is the sum of all parts, whatever happens.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// What happens between two readings.
#[derive(Debug, Clone)]
enum Step {
    /// A container uses CPU time; it is made if it is not there.
    Uses(u8, u32),
    /// A container is removed, with what it used.
    Ends(u8),
    /// A meter counts on.
    Counts(u8, u32),
    /// A meter begins anew, with a start that says so or without, and has counted so much.
    Restarts(u8, u32, bool),
    /// The next reading lacks the meter.
    Missing(u8),
    /// A process of a container is on the accelerator, with that share of time in percent, or of unknown share.
    Holds(u8, Option<u8>),
    /// A process leaves it.
    Leaves(u8),
    /// A pause.
    Pause(u16),
    /// A reading.
    Read,
}

/// Processors, memory and an accelerator.
const METERS: [(&str, &str); 4] = [("p0", "cpu"), ("p1", "cpu"), ("d0", "memory"), ("g0", "gpu")];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..5, 0u32..20_000_000).prop_map(|(who, time)| Step::Uses(who, time)),
        1 => (0u8..5).prop_map(Step::Ends),
        4 => (0u8..4, 0u32..100_000_000).prop_map(|(meter, micros)| Step::Counts(meter, micros)),
        1 => (0u8..4, 0u32..1_000_000, any::<bool>()).prop_map(|(meter, micros, says)| Step::Restarts(meter, micros, says)),
        1 => (0u8..4).prop_map(Step::Missing),
        2 => (0u8..5, prop::option::of(0u8..=120)).prop_map(|(who, share)| Step::Holds(who, share)),
        1 => (0u8..5).prop_map(Step::Leaves),
        2 => (0u16..2000).prop_map(Step::Pause),
        4 => Just(Step::Read),
    ];
    prop::collection::vec(step, 1..120)
}

/// A meter, and the microjoules that readers of its series have counted.
#[derive(Debug, Default, Clone)]
struct Meter {
    micros: u64,
    start: u64,
    is_missing: bool,
    read: Option<(u64, u64)>,
    measured: u64,
}

#[derive(Default)]
struct History {
    meters: [Meter; 4],
    used: HashMap<u8, u64>,
    holders: HashMap<u8, Option<u8>>,
    /// The last value of each series that was ever shown, ended ones included.
    series: HashMap<(Arc<Attributes>, Option<Timestamp>), f64>,
}

impl History {
    fn apply(&mut self, host: &mut Host, step: &Step) {
        match *step {
            Step::Uses(who, micros) => {
                let used = self.used.entry(who).or_default();
                *used += u64::from(micros);
                host.uses(&group(who), Duration::from_micros(*used));
            }
            Step::Ends(who) => {
                self.used.remove(&who);
                fs::remove_dir_all(host.directory.path().join(format!("sys/fs/cgroup{}", group(who)))).ok();
            }
            Step::Counts(meter, micros) => self.meters[usize::from(meter)].micros += u64::from(micros),
            Step::Restarts(meter, micros, says) => {
                let meter = &mut self.meters[usize::from(meter)];
                meter.micros = u64::from(micros);
                if says {
                    meter.start = host.clock;
                }
            }
            Step::Missing(meter) => self.meters[usize::from(meter)].is_missing = true,
            Step::Holds(who, share) => {
                self.holders.insert(who, share);
            }
            Step::Leaves(who) => {
                self.holders.remove(&who);
            }
            Step::Pause(seconds) => host.pass(Duration::from_secs(seconds.into())),
            Step::Read => self.read(host),
        }
    }

    fn read(&mut self, host: &mut Host) {
        host.pass(Duration::from_secs(1));
        let nanos = |seconds: u64| Timestamp::from_unix_nanos(seconds * 1_000_000_000);
        let (mut shared, mut gpu) = (Vec::new(), Vec::new());
        for (meter, (id, kind)) in self.meters.iter_mut().zip(METERS) {
            if std::mem::take(&mut meter.is_missing) {
                continue;
            }
            let mut point = host.joules(id, kind, meter.micros as f64 / 1e6);
            point.start = Some(nanos(meter.start));
            let grown = match meter.read {
                None => 0,
                Some((before, start)) if meter.start == start && meter.micros >= before => meter.micros - before,
                Some(_) => meter.micros,
            };
            meter.measured += grown;
            meter.read = Some((meter.micros, meter.start));
            if kind == "gpu" { &mut gpu } else { &mut shared }.push(point);
        }
        for (who, share) in &self.holders {
            let attributes = [
                (key::HW_ID, "g0".into()),
                (key::CONTAINER_ID, container(*who).as_str().into()),
            ];
            gpu.push(host.point(&accel::PROCESS_MEMORY_USAGE, &attributes, 1.0));
            if let Some(percent) = share {
                gpu.push(host.point(&accel::PROCESS_UTILIZATION, &attributes, f64::from(*percent) / 100.0));
            }
        }
        for (sampler, points) in [("power", shared), ("nvidia", gpu)] {
            let batches = [Batch::new(sampler, "rapl", points)];
            let batch = host
                .energy
                .of_run(sampler, &batches, &[], &mut host.attribution, host.now);
            for point in batch.iter().flat_map(|batch| &batch.points) {
                let series = (Arc::clone(&point.attributes), point.start);
                let now = point.value.as_f64().unwrap();
                let before = self.series.insert(series, now).unwrap_or_default();
                assert!(now >= before, "{point:?} was {before}");
            }
        }
    }

    /// Microjoules of one kind: measured, and in all parts.
    fn sums(&self, kind: &str) -> (u64, u64) {
        let of_kind = self.meters.iter().zip(METERS).filter(|(_, (_, of))| *of == kind);
        let measured = of_kind.map(|(meter, _)| meter.measured).sum();
        let parts = self
            .series
            .iter()
            .filter(|((series, _), _)| series.text(key::HW_TYPE) == Some(kind));
        let parts = parts.map(|(_, joules)| (joules * 1e6).round() as u64).sum();
        (measured, parts)
    }
}

fn container(who: u8) -> String {
    id(&format!("{who:06}"))
}

fn group(who: u8) -> String {
    format!("/system.slice/docker-{}.scope", container(who))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn parts_are_what_was_measured(steps in steps(), proportional in any::<bool>()) {
        let idle = if proportional { Idle::Proportional } else { Idle::Unattributed };
        let mut host = Host::new(idle);
        let mut history = History::default();
        for step in &steps {
            history.apply(&mut host, step);
        }
        history.read(&mut host);
        for kind in ["cpu", "memory", "gpu"] {
            let (measured, parts) = history.sums(kind);
            prop_assert_eq!(measured, parts, "{}", kind);
        }
    }
}
