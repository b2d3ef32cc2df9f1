//! Which way the NPUs are asked: the library where it works, else the tool.

use std::io;
use std::time::Instant;

use super::dcmi::{self, Launch};
use super::sampler::NAME;
use super::settings::{Backend, Settings};
use super::{Sampler as ToolSampler, admin};
use accelscope_core::chain;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Batch;
use accelscope_core::sampler::{Descriptor, Finding, Outcome, Sampler};
use accelscope_core::worker::WorkerSampler;

/// Failures in a row after which the library is given up for the tool.
const PATIENCE: u32 = 3;

/// The sampler `ascend` by the configured way.
pub fn build(settings: &Settings, roots: &HostRoots, node_name: &str) -> Box<dyn Sampler> {
    let tool = ToolSampler::new(settings.clone(), roots.clone(), node_name.to_owned());
    // The tool's sampler says that asking is not permitted, and why.
    if !uses_library(settings, roots) {
        return Box::new(tool);
    }
    match library(settings, roots, node_name) {
        Ok(library) if settings.backend == Backend::Dcmi => Box::new(library),
        Ok(library) => Box::new(Auto {
            library: Some(library),
            failures: 0,
            tool,
        }),
        Err(error) => {
            tracing::warn!(%error, "libdcmi.so cannot be used; npu-smi is asked instead");
            Box::new(tool)
        }
    }
}

/// What one look through the library gives, where the configuration lets it be used. It takes at most the time-out.
pub(super) fn explain(settings: &Settings, roots: &HostRoots) -> Option<Finding> {
    if settings.backend == Backend::Dcmi && dcmi::library(roots, None).is_none() {
        let remedy = "install the driver's package, or set ascend.backend to auto";
        return Some(Finding::fail(NAME, "libdcmi.so was not found").with_remedy(remedy));
    }
    if !uses_library(settings, roots) {
        return None;
    }
    let mut batches = Vec::new();
    let why = match library(settings, roots, "") {
        Ok(mut library) => match library.sample(&mut batches) {
            Outcome::Sampled => {
                let what = format!("libdcmi.so told of {} chips", batches.len());
                return Some(Finding::ok(NAME, what));
            }
            Outcome::NothingHere(reason) | Outcome::Gone(reason) => reason,
            Outcome::Retry(error) => chain(error.as_ref()),
        },
        Err(error) => error.to_string(),
    };
    if settings.backend == Backend::Dcmi {
        let remedy = "mend that, or set ascend.backend to auto for npu-smi";
        return Some(Finding::fail(NAME, format!("libdcmi.so gives nothing: {why}")).with_remedy(remedy));
    }
    let what = format!("libdcmi.so gives nothing, npu-smi is asked instead: {why}");
    Some(Finding::warn(NAME, what))
}

/// Whether it is permitted, wanted and there.
fn uses_library(settings: &Settings, roots: &HostRoots) -> bool {
    let permitted = !settings.require_admin || admin::missing().is_none();
    let wanted = match settings.backend {
        Backend::NpuSmi => false,
        Backend::Dcmi => true,
        Backend::Auto => dcmi::library(roots, None).is_some(),
    };
    permitted && wanted
}

fn library(settings: &Settings, roots: &HostRoots, node_name: &str) -> io::Result<WorkerSampler> {
    dcmi::sampler(Launch {
        program: std::env::current_exe()?,
        library: None,
        roots: roots.clone(),
        node_name: node_name.to_owned(),
        period: settings.period,
        deadline: settings.timeout,
    })
}

/// The library until it has failed often enough in a row, the tool from then on.
struct Auto {
    library: Option<WorkerSampler>,
    failures: u32,
    tool: ToolSampler,
}

impl Sampler for Auto {
    fn descriptor(&self) -> Descriptor {
        match &self.library {
            Some(library) => library.descriptor(),
            None => self.tool.descriptor(),
        }
    }

    fn wait(&mut self, until: Instant) {
        match &mut self.library {
            Some(library) => library.wait(until),
            None => self.tool.wait(until),
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let Some(library) = &mut self.library else {
            return self.tool.sample(out);
        };
        let why = match library.sample(out) {
            Outcome::Sampled => {
                self.failures = 0;
                return Outcome::Sampled;
            }
            // There is no library, or it sees nothing: the tool may.
            Outcome::NothingHere(reason) | Outcome::Gone(reason) => {
                self.failures = PATIENCE;
                reason
            }
            Outcome::Retry(error) => {
                self.failures += 1;
                chain(error.as_ref())
            }
        };
        if self.failures < PATIENCE {
            return Outcome::Retry(why.into());
        }
        tracing::info!(
            why,
            "Ascend NPUs are asked through npu-smi, because libdcmi.so gives nothing"
        );
        self.library = None;
        self.tool.sample(out)
    }
}
