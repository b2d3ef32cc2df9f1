//! The sampler `kubelet`.

use std::time::Instant;

use opentelemetry::metrics::Counter;

use super::allocation::points;
use super::client::{Client, Error, TIMEOUT};
use super::restart::Memory;
use super::settings::{NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::{accel, agent};
use accelscope_core::metric::{Batch, Instrument, Part, Timestamp, key};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::source::AllocatedDevice;
use accelscope_core::telemetry;

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
    /// Creates the sampler without a connection. The first of `vendors` that recognizes an id determines its
    /// attributes.
    pub fn new(settings: Settings, roots: HostRoots, vendors: Vec<AllocatedDevice>) -> Self {
        Self {
            client: Client::new(roots, settings.socket()),
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

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: TIMEOUT * 2,
            instruments: &INSTRUMENTS,
            extensions: &[],
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
