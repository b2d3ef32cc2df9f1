//! The agent's side: starts the worker if there is a driver.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::presence::{self, Presence};
use super::settings::Settings;
use super::topics::{NAMESPACE_REMEDY, Namespace};
use super::{NAME, catalogue, library, reader};
use accelscope_core::faults::Faults;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, CounterStarts};
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::trust;
use accelscope_core::worker::{Suspensions, Worker, WorkerConfig, WorkerSampler, own_program};

/// Time limit of a reading in the worker, and the additional time that the agent waits for the worker.
const PATIENCE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);
/// Time limit of a run: a worker that missed its own must be killed.
const DEADLINE: Duration = Duration::from_secs(16);

/// Duration of the first suspension after a hang or crash. The next attempt may cost another process and deadline.
const REST: Duration = Duration::from_mins(1);

/// Parameters of the worker's start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The agent's own program.
    pub program: PathBuf,
    /// Settings of the source.
    pub settings: Settings,
    /// Root directories of the host.
    pub roots: HostRoots,
    /// Part of the id of a GPU without a UUID.
    pub node_name: String,
    /// Time limit of a reading, after which a hanging call is suspended.
    pub patience: Duration,
    /// Duration of the first suspension after a hang or crash.
    pub rest: Duration,
}

impl Launch {
    /// Parameters with this program as the worker's.
    pub fn new(settings: &Settings, roots: &HostRoots, node_name: &str) -> io::Result<Self> {
        Ok(Self {
            program: own_program()?,
            settings: settings.clone(),
            roots: roots.clone(),
            node_name: node_name.to_owned(),
            patience: PATIENCE,
            rest: REST,
        })
    }
}

/// The sampler `nvidia`. Starts nothing and touches no library before its first run finds a driver.
pub fn build(settings: &Settings, roots: &HostRoots, node_name: &str, faults: Faults) -> Box<dyn Sampler> {
    Box::new(OnDemand {
        faults,
        period: settings.period,
        launch: Launch::new(settings, roots, node_name),
        worker: None,
        starts: CounterStarts::default(),
    })
}

/// The worker's sampler alone, without a check for a driver.
pub fn sampler(launch: Launch) -> io::Result<WorkerSampler> {
    let descriptor = Descriptor {
        name: NAME,
        period: launch.settings.period,
        deadline: launch.patience + GRACE,
    };
    let config = WorkerConfig {
        root: launch.roots.path("/"),
        node_name: launch.node_name,
        period: launch.settings.period,
        patience: launch.patience,
        first_suspension: launch.rest,
        suspensions: Suspensions::default(),
        library: reader::Config {
            libraries: library::candidates(&launch.roots, launch.settings.library.as_deref()),
            carried: std::collections::BTreeMap::new(),
        },
    };
    let mut command = config.command(&launch.program, NAME)?;
    let (libraries, directories) = trust::library_path([]);
    if !directories.is_empty() {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let worker = Worker::new(command);
    Ok(WorkerSampler::new(
        descriptor,
        catalogue::EMITTED,
        catalogue::EXTENSIONS,
        worker,
    ))
}

/// Reason why no worker is started, if there is no driver.
pub(super) fn absence(settings: &Settings, roots: &HostRoots) -> Option<String> {
    if settings.library.is_some() {
        return None;
    }
    match presence::look(roots) {
        Presence::Driver => None,
        Presence::Bus(count) => Some(format!(
            "{count} NVIDIA GPU(s) are on the bus, but NVIDIA's kernel driver is not loaded for them"
        )),
        Presence::Nothing => Some("no NVIDIA GPU and no NVIDIA driver on this host".to_owned()),
    }
}

/// Starts the worker only if there is a driver.
struct OnDemand {
    /// XIDs that the kernel's log has too.
    faults: Faults,
    period: Duration,
    launch: io::Result<Launch>,
    worker: Option<WorkerSampler>,
    /// Start times of the worker that ended with its driver.
    starts: CounterStarts,
}

impl Sampler for OnDemand {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.period,
            deadline: DEADLINE,
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let outcome = self.run(out);
        match outcome {
            // For as long as the pipeline keeps them.
            Outcome::Sampled | Outcome::Retry(_) => {
                let kept = (self.period * 3).max(self.period + DEADLINE);
                self.faults.reconcile(out, kept, Instant::now());
            }
            Outcome::NothingHere(_) | Outcome::Gone(_) => self.faults.library_ended(),
        }
        outcome
    }
}

impl OnDemand {
    fn run(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let launch = match &self.launch {
            Ok(launch) => launch,
            Err(error) => {
                return Outcome::Retry(format!("the agent's own program was not found; mount /proc: {error}").into());
            }
        };
        if let Some(why) = absence(&launch.settings, &launch.roots) {
            if let Some(worker) = self.worker.take() {
                self.starts = worker.into_starts();
            }
            return Outcome::NothingHere(why);
        }
        if let Some(worker) = &mut self.worker {
            return worker.sample(out);
        }
        if let Some(loss) = Namespace::detect(&launch.roots).loss() {
            tracing::warn!("{loss}; {NAMESPACE_REMEDY}");
        }
        match sampler(launch.clone()) {
            Ok(worker) => {
                let worker = worker.with_starts(std::mem::take(&mut self.starts));
                self.worker.insert(worker).sample(out)
            }
            Err(error) => Outcome::Retry(error.into()),
        }
    }
}
