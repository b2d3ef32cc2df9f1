//! The sampler `host`.

use std::time::{Duration, Instant};

use crate::cpu::Cpu;
use crate::disks::Disks;
use crate::filesystems::Filesystems;
use crate::info::Info;
use crate::kept::is_absent;
use crate::load::Load;
use crate::memory::Memory;
use crate::network::Network;
use crate::pressure::Pressure;
use crate::readings::{Readings, Skipped};
use crate::settings::{NAME, Settings};
use crate::topology::Topology;
use accelscope_core::metric::{Batch, Part};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::source::Context;

/// Time between two looks at what seldom changes: names and mounts.
const LOOK: Duration = Duration::from_mins(1);
/// Time over which a single reading (`--once`) measures utilization.
const WINDOW: Duration = Duration::from_millis(500);
/// A file system has a second to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The sampler `host`.
#[derive(Debug)]
pub struct Sampler {
    period: Duration,
    part: Part,
    skipped: Skipped,
    looked: Option<Instant>,
    /// The run waits for a second reading of the CPU time.
    window: Option<Duration>,
    /// Points of the last run.
    points: usize,
    info: Info,
    topology: Topology,
    cpu: Cpu,
    load: Load,
    memory: Memory,
    pressure: Pressure,
    disks: Option<Disks>,
    filesystems: Option<Filesystems>,
    network: Option<Network>,
}

impl Sampler {
    /// Opens nothing yet.
    pub fn new(settings: &Settings, context: &Context) -> Self {
        let roots = &context.roots;
        Self {
            period: settings.period,
            part: Part::whole(NAME),
            skipped: Skipped::new(),
            looked: None,
            window: context.once.then_some(WINDOW),
            points: 0,
            info: Info::new(context),
            topology: Topology::new(roots),
            cpu: Cpu::new(roots),
            load: Load::new(roots),
            memory: Memory::new(roots),
            pressure: Pressure::new(roots),
            disks: settings.disks.then(|| Disks::new(roots)),
            filesystems: settings.filesystems.then(|| Filesystems::new(roots)),
            network: settings.network.then(|| Network::new(roots)),
        }
    }
}

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.period,
            deadline: DEADLINE,
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let mut readings = Readings::new(self.points, &self.skipped);
        let now = Instant::now();
        let is_thorough = self.looked.is_none_or(|looked| now >= looked + LOOK);
        self.topology.update(is_thorough, &mut readings);
        if is_thorough {
            self.looked = Some(now);
            self.info.update();
            if let Some(filesystems) = &mut self.filesystems {
                filesystems.update(&mut readings);
            }
        }
        if let Some(window) = self.window.take() {
            self.cpu
                .read(self.topology.logical(), now, &mut Readings::new(0, &self.skipped));
            std::thread::sleep(window);
        }
        self.load.read_uptime(&mut readings);
        self.cpu.read(self.topology.logical(), Instant::now(), &mut readings);
        self.load.read_averages(&mut readings);
        self.memory.read(&mut readings);
        self.pressure.read(&mut readings);
        if let Some(disks) = &mut self.disks {
            disks.read(&mut readings);
        }
        if let Some(network) = &mut self.network {
            network.read(&mut readings);
        }
        if let Some(filesystems) = &mut self.filesystems {
            filesystems.read(&mut readings);
        }
        // What the files in sysfs and /etc say is of a host whose /proc is here.
        if readings.is_empty() {
            return nothing(readings);
        }
        self.topology.points(&mut readings);
        self.info.point(&mut readings);
        let points = readings.into_points();
        self.points = points.len();
        out.push(Batch {
            part: self.part.clone(),
            points,
        });
        Outcome::Sampled
    }
}

/// Nothing could be read.
fn nothing(readings: Readings<'_>) -> Outcome {
    match readings.error {
        Some(error) if !is_absent(&error) => Outcome::Retry(error.into()),
        _ => Outcome::NothingHere(
            "the host's /proc is not there: in a container, mount the host's / and name it in host.root".to_owned(),
        ),
    }
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
