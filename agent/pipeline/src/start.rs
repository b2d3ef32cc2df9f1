//! Samplers, their pipeline and what is known of them, running.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use super::hub::Hub;
use super::intake::Intake;
use super::samplers;
use super::status::Status;
use crate::attribution::{Attribution, Merger};
use accelscope_core::sampler::Sampler;

/// Runs that may wait for the pipeline; a sampler waits when there are more.
const WAITING_RUNS: usize = 16;

/// Running samplers. They end with the process: a thread that hangs in the kernel cannot be waited for.
pub struct Started {
    /// Where their series are.
    pub hub: Arc<Hub>,
    /// What is known of each.
    pub statuses: Vec<Arc<Status>>,
}

impl Started {
    /// Starts a thread for each sampler and one for what they all hand on to.
    pub fn launch(
        samplers: Vec<Box<dyn Sampler>>,
        hub: Arc<Hub>,
        attribution: Attribution,
        merger: Merger,
    ) -> io::Result<Self> {
        let (send, receive) = sync_channel(WAITING_RUNS);
        let mut intake = Intake::new(hub.clone(), attribution, merger);
        let statuses = samplers
            .into_iter()
            .map(|sampler| samplers::start(sampler, send.clone()))
            .collect::<io::Result<Vec<_>>>()?;
        for status in &statuses {
            intake.watch(status.clone());
        }
        std::thread::Builder::new()
            .name("pipeline".into())
            .stack_size(1 << 20)
            .spawn(move || {
                // Kept so that the channel stays open, and overdue series still end, when every sampler is gone.
                let _open = send;
                intake.run(&receive);
            })?;
        Ok(Self { hub, statuses })
    }

    /// Whether every sampler's first run is over, in one way or another.
    pub fn all_reported(&self) -> bool {
        self.statuses
            .iter()
            .all(|status| status.last().is_some() || status.stuck().is_some())
    }
}
