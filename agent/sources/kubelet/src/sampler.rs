//! The sampler `kubelet`.

use std::time::Instant;

use super::allocation::points;
use super::client::{Client, Error, TIMEOUT};
use super::pods::PodUids;
use super::restart::Memory;
use super::settings::{NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Batch, Timestamp};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::source::AllocatedDevice;
use accelscope_core::telemetry::ReasonCounter;

/// The sampler `kubelet`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    client: Client,
    vendors: Vec<AllocatedDevice>,
    memory: Memory,
    warned_forbidden: bool,
    skipped: ReasonCounter,
}

impl Sampler {
    /// Creates the sampler without a connection. The first of `vendors` that recognizes an id determines its
    /// attributes.
    pub fn new(settings: Settings, roots: HostRoots, vendors: Vec<AllocatedDevice>) -> Self {
        let skipped = ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME);
        skipped.begin(["too_many"]);
        Self {
            client: Client::new(roots.clone(), settings.socket()),
            roots,
            settings,
            vendors,
            memory: Memory::default(),
            warned_forbidden: false,
            skipped,
        }
    }

    /// A kubelet that has answered before is expected back.
    fn failed(&mut self, error: Error) -> Outcome {
        if matches!(error, Error::Forbidden(..)) && !std::mem::replace(&mut self.warned_forbidden, true) {
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
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let (response, socket) = match self.client.list() {
            Ok(answer) => answer,
            Err(error) => return self.failed(error),
        };
        self.warned_forbidden = false;
        let uids = if response.pod_resources.is_empty() {
            PodUids::default()
        } else {
            PodUids::read(&self.roots)
        };
        let (points, skipped) = points(&response, &self.vendors, &uids, Timestamp::now());
        if skipped > 0 {
            self.skipped.add(skipped, "too_many");
        }
        let points = self.memory.complete(socket, points, Instant::now());
        out.push(Batch::whole(NAME, points));
        Outcome::Sampled
    }
}
