//! Devices that the node's kubelet has allocated to containers, idle ones included.
//!
//! Calls List of the kubelet's PodResources API (v1, gRPC over a unix socket) once a period. The response has resources
//! of device plugins and, where the kubelet's feature gate is on, resource claims (DRA).

#![forbid(unsafe_code)]

mod allocation;
mod client;
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
use accelscope_core::source::AllocatedDevice;
use accelscope_core::telemetry;

pub use self::explain::explain;
pub use self::settings::Settings;
pub use self::source::SOURCE;

const NAME: &str = "kubelet";
/// Default of the kubelet's `--root-dir`.
pub const DEFAULT_ROOT: &str = "/var/lib/kubelet";
/// Longest time for one call, from the connection to the end of the response. A kubelet answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);

static INSTRUMENTS: [&Instrument; 1] = [&accel::DEVICE_ALLOCATION];

/// The sampler `kubelet`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    client: Client,
    vendors: Vec<AllocatedDevice>,
    memory: Memory,
    warned_forbidden: bool,
    skipped: Counter<u64>,
}

impl Sampler {
    /// Connects to nothing yet. The first of `vendors` that recognizes an id gives its attributes.
    pub fn new(settings: Settings, roots: HostRoots, vendors: Vec<AllocatedDevice>) -> Self {
        Self {
            client: Client::new(roots, settings.socket(), TIMEOUT),
            settings,
            vendors,
            memory: Memory::default(),
            warned_forbidden: false,
            skipped: telemetry::counter(&agent::SAMPLER_SKIPPED),
        }
    }

    /// A kubelet that has answered before is expected back.
    fn failed(&mut self, error: Error) -> Outcome {
        if matches!(error, Error::Forbidden { .. }) && !std::mem::replace(&mut self.warned_forbidden, true) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no device allocations are shown: run the agent as root, or set kubelet.enabled = false",
            );
        }
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
            Err(error) => return self.failed(error),
        };
        self.warned_forbidden = false;
        let (points, skipped) = points(&response, &self.vendors, Timestamp::now());
        if skipped > 0 {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, NAME),
                telemetry::label(key::AGENT_REASON, "too_many"),
            ];
            self.skipped.add(skipped, &labels);
        }
        out.push(Batch {
            part: Part::whole(NAME),
            points: self.memory.complete(socket, points, Instant::now()),
        });
        Outcome::Sampled
    }
}
