//! Start of the samplers' threads and of the pipeline's.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::attribution::Attribution;
use super::energy::Energy;
use super::pipeline::Pipeline;
use super::registry::SeriesRegistry;
use super::sampler_thread;
use super::status::Status;
use accelscope_core::sampler::Sampler;

/// Runs that may wait for the pipeline; a sampler waits when there are more. Each may have thousands of readings.
const WAITING_RUNS: usize = 2;

/// Running samplers. They end with the process: a thread that hangs in the kernel cannot be waited for.
pub struct Started {
    /// Their series.
    pub registry: Arc<SeriesRegistry>,
    /// How the runs of each ended.
    pub statuses: Vec<Arc<Status>>,
}

impl Started {
    /// Starts a thread for each sampler and one for the pipeline.
    pub fn launch(
        samplers: Vec<Box<dyn Sampler>>,
        registry: Arc<SeriesRegistry>,
        attribution: Attribution,
        energy: Energy,
    ) -> io::Result<Self> {
        let (send, receive) = sync_channel(WAITING_RUNS);
        let statuses = samplers
            .into_iter()
            .map(|sampler| sampler_thread::spawn(sampler, send.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        let pipeline = Pipeline::new(registry.clone(), attribution, energy, statuses.clone());
        std::thread::Builder::new()
            .name("pipeline".into())
            .stack_size(1 << 20)
            .spawn(move || {
                // Kept so that the channel stays open, and overdue series still end, when every sampler is gone.
                let _open = send;
                pipeline.run(&receive);
            })?;
        Ok(Self { registry, statuses })
    }

    /// Whether every sampler's first run is over, in one way or another.
    pub fn all_reported(&self) -> bool {
        self.statuses.iter().all(|status| status.has_reported())
    }
}
