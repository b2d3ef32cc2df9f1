//! Which container was given which device, from the node's kubelet: known even while the device is idle.
//!
//! The kubelet's PodResources API (v1, gRPC over a unix socket) is asked for the whole list once a period. It tells of
//! device plugins' resources and, where the kubelet's feature is on, of claims (DRA).

mod allocation;
mod client;
mod device;
mod explain;
mod restart;
mod settings;
mod source;

use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;

use self::allocation::points;
use self::client::{Client, Error};
use self::restart::Memory;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::{accel, agent};
use accelscope_core::metric::{Batch, Instrument, Part, Timestamp, key};
use accelscope_core::sampler::{Descriptor, Outcome};
use accelscope_core::telemetry;

pub use self::explain::explain;
pub use self::settings::Settings;
pub use self::source::SOURCE;

const NAME: &str = "kubelet";
/// Where a kubelet keeps its files unless told otherwise (`--root-dir`).
pub const DEFAULT_ROOT: &str = "/var/lib/kubelet";
/// Longest time for one list, from the connection to the answer's end. A kubelet answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);

static INSTRUMENTS: [&Instrument; 1] = [&accel::DEVICE_ALLOCATION];

/// The sampler.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    client: Client,
    memory: Memory,
    forbidden: bool,
    skipped: Counter<u64>,
}

impl Sampler {
    /// Asks nobody yet.
    pub fn new(settings: Settings, roots: HostRoots) -> Self {
        Self {
            client: Client::new(roots, settings.socket(), TIMEOUT),
            settings,
            memory: Memory::default(),
            forbidden: false,
            skipped: telemetry::counter(&agent::SAMPLER_SKIPPED),
        }
    }

    /// Nothing can be done about a kubelet that was never there; one that restarts comes back.
    fn judge(&mut self, error: Error) -> Outcome {
        if matches!(error, Error::Forbidden { .. }) && !std::mem::replace(&mut self.forbidden, true) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no device allocations are shown: run the agent as root, or set kubelet.enabled = false",
            );
        }
        // One that has answered before is no sign of there being none.
        if error.means_nothing_here() && self.memory.is_empty() {
            Outcome::NothingHere(error.to_string())
        } else {
            Outcome::Retry(error.into())
        }
    }
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: TIMEOUT * 2,
            instruments: &INSTRUMENTS,
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let (response, socket) = match self.client.list() {
            Ok(answer) => answer,
            Err(error) => return self.judge(error),
        };
        self.forbidden = false;
        let (points, skipped) = points(&response, Timestamp::now());
        if skipped > 0 {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, NAME),
                telemetry::label(key::AGENT_REASON, "too_many"),
            ];
            self.skipped.add(skipped, &labels);
        }
        out.push(Batch {
            part: Part::whole(NAME),
            points: self.memory.settle(socket, points, Instant::now()),
        });
        Outcome::Sampled
    }
}
