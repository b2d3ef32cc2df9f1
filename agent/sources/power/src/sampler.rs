//! The sampler `power`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::answering::ask;
use accelscope_core::metric::{Batch, Point};
use accelscope_core::sampler::{self, Descriptor, Finding, Outcome};

use crate::apart::Apart;
use crate::explain::explain;
use crate::identity::Identity;
use crate::now::Now;
use crate::rapl::{DENIED, DENIED_REMEDY, Rapl};
use crate::reason::Skipped;
use crate::sensors::{self, Places, Sensors};
use crate::settings::{NAME, Settings};
use crate::unanswered::Unanswered;

/// Time that a run waits for the sensors; a run that is the only one waits longer.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_ONCE: Duration = Duration::from_secs(10);
/// Time between the two readings of a run that is the only one: without a second there is no power.
const WATCH: Duration = Duration::from_millis(500);
/// Shortest time between two readings of counters, whatever range they claim.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// What there is on a machine without any of this.
pub(crate) const NOTHING: &str = "no RAPL and no sensors (hwmon, thermal zones, supplies) in /sys";

/// Energy that must not be read, and nothing else that can be.
#[derive(Debug, thiserror::Error)]
#[error("{DENIED}: {DENIED_REMEDY}")]
struct Denied;

/// The sampler `power`.
pub(crate) struct Sampler {
    settings: Settings,
    roots: HostRoots,
    is_once: bool,
    rapl: Option<Rapl>,
    sensors: Apart,
    has_sensors: bool,
    machine_meter: Option<String>,
    skipped: Skipped,
    has_warned: bool,
    /// Parts that have series.
    told: BTreeSet<&'static str>,
    /// As last told by the findings.
    unanswered: Unanswered,
}

impl Sampler {
    /// Reads nothing yet. With `is_once` the first run is the only one.
    pub(crate) fn new(settings: Settings, roots: &HostRoots, node_name: &str, is_once: bool) -> Self {
        let identity = Identity::new(roots, node_name);
        let (there, of, node, places) = (settings.clone(), roots.clone(), identity.clone(), Places::default());
        Self {
            rapl: settings.rapl.then(|| Rapl::new(roots.clone(), identity)),
            sensors: Apart::new(move || Sensors::new(&there, &of, &node, &places)),
            settings,
            roots: roots.clone(),
            is_once,
            has_sensors: false,
            machine_meter: None,
            skipped: Skipped::default(),
            has_warned: false,
            told: BTreeSet::new(),
            unanswered: Unanswered::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn hung_after(mut self, time: Duration) -> Self {
        self.sensors = self.sensors.hung_after(time);
        self
    }

    #[cfg(test)]
    pub(crate) fn with_threads(mut self, most: usize) -> Self {
        self.sensors = self.sensors.with_threads(most);
        self
    }

    #[cfg(test)]
    pub(crate) fn may_have_sensors(&self) -> bool {
        self.has_sensors || sensors::may_be_there(&self.roots)
    }

    /// One run. `read` tells the time of each reading of the counters.
    pub(crate) fn run(&mut self, mut read: impl FnMut() -> Now, out: &mut Vec<Batch>) -> Outcome {
        let mut now = read();
        if let Some(rapl) = &mut self.rapl {
            rapl.look(&mut self.skipped);
            rapl.read(now, &self.skipped);
            if self.is_once && rapl.is_there() {
                std::thread::sleep(WATCH);
                now = read();
                rapl.read(now, &self.skipped);
            }
        }
        let patience = if self.is_once { PATIENCE_ONCE } else { PATIENCE };
        // Without any there is no thread for them either.
        let may_be_there = self.has_sensors || sensors::may_be_there(&self.roots);
        let readings = may_be_there.then(|| self.sensors.read(patience, &mut self.skipped));
        // Those that have not answered yet may be there, too.
        self.has_sensors |= matches!(readings, Some(None));
        if let Some(readings) = readings.flatten() {
            self.has_sensors = readings.is_there;
            self.machine_meter = readings.machine_meter;
            for (part, points) in readings.parts {
                self.tell(part, points, out);
            }
        }
        let has_rapl = self.rapl.as_ref().is_some_and(Rapl::is_there);
        if !has_rapl && !self.has_sensors {
            self.end(out);
            return Outcome::NothingHere(NOTHING.to_owned());
        }
        let Some(rapl) = &mut self.rapl else {
            return Outcome::Sampled;
        };
        if rapl.is_denied() {
            if !self.has_sensors && !rapl.is_counting() {
                self.end(out);
                return Outcome::Retry(Denied.into());
            }
            if !std::mem::replace(&mut self.has_warned, true) {
                tracing::warn!("{Denied}");
            }
        }
        let points = rapl.points(now, self.machine_meter.as_deref(), &self.skipped);
        self.tell("rapl", points, out);
        Outcome::Sampled
    }

    fn tell(&mut self, part: &'static str, points: Vec<Point>, out: &mut Vec<Batch>) {
        if !points.is_empty() {
            self.told.insert(part);
        }
        out.push(Batch::new(NAME, part, points));
    }

    /// Ends the series of all parts, once: a run that fails alone leaves them for a while.
    fn end(&mut self, out: &mut Vec<Batch>) {
        out.clear();
        let told = std::mem::take(&mut self.told).into_iter();
        out.extend(told.map(|part| Batch::new(NAME, part, Vec::new())));
    }
}

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: PATIENCE_ONCE + PATIENCE,
        }
    }

    /// None as long as each device answers: the doctor finds out the rest by itself.
    fn new_findings(&mut self) -> Option<Vec<Finding>> {
        let unanswered = self.sensors.unanswered();
        if unanswered == self.unanswered {
            return None;
        }
        self.unanswered = unanswered;
        let mut findings = self.unanswered.findings();
        if !findings.is_empty() {
            // A name of a device may be what does not answer.
            let (roots, settings) = (self.roots.clone(), self.settings.clone());
            let rest = ask(&self.roots.path("/sys/class"), move |_| Ok(explain(&roots, &settings)));
            findings.splice(0..0, rest.unwrap_or_default());
        }
        Some(findings)
    }

    /// Reads counters that may wrap twice before that.
    fn wait(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let rapl = self.rapl.as_mut();
            let due = rapl.and_then(|rapl| Some((rapl.longest_rest()?.max(SHORTEST_REST), rapl)));
            match due {
                Some((rest, rapl)) if rest < left => {
                    std::thread::sleep(rest);
                    rapl.read(Now::read(), &self.skipped);
                }
                _ => return std::thread::sleep(left),
            }
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.run(Now::read, out)
    }
}
