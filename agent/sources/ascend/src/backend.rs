//! Choice of the backend: the library if it works, otherwise the tool.

use std::io;
use std::time::Instant;

use super::admin;
use super::dcmi::{self, Launch};
use super::sampler::Sampler as ToolSampler;
use super::settings::{Backend, NAME, Settings};
use accelscope_core::chain;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Batch;
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::worker::{WorkerSampler, own_program};

/// Consecutive failures of the library after which the tool replaces it.
const MAX_FAILURES: u32 = 3;

/// The sampler `ascend` with the configured backend, which the first run chooses.
pub fn build(settings: &Settings, roots: &HostRoots, node_name: &str) -> Box<dyn Sampler> {
    let (settings, roots, node_name) = (settings.clone(), roots.clone(), node_name.to_owned());
    Box::new(Unchosen {
        descriptor: ToolSampler::new(settings.clone(), roots.clone(), node_name.clone()).descriptor(),
        choose: Box::new(move || choose(&settings, &roots, &node_name)),
        chosen: None,
    })
}

fn choose(settings: &Settings, roots: &HostRoots, node_name: &str) -> Box<dyn Sampler> {
    let mut tool = ToolSampler::new(settings.clone(), roots.clone(), node_name.to_owned());
    match own_program() {
        Ok(program) => tool = tool.supervised_by(program),
        Err(error) => {
            tracing::warn!(%error, "npu-smi runs without a supervisor, since the agent's own program is unknown; mount /proc");
        }
    }
    // If neither is permitted, the tool's sampler reports that.
    if !uses_library(settings, roots) {
        return Box::new(tool);
    }
    match library(settings, roots, node_name) {
        Ok(library) if settings.backend == Backend::Dcmi => Box::new(library),
        Ok(library) => Box::new(Fallback {
            library: Some(library),
            failures: 0,
            tool,
        }),
        Err(error) => {
            tracing::warn!(%error, "libdcmi.so cannot be used; npu-smi is called instead");
            Box::new(tool)
        }
    }
}

/// Whether the library is permitted, configured and present.
pub(super) fn uses_library(settings: &Settings, roots: &HostRoots) -> bool {
    let permitted = !settings.require_admin || admin::missing().is_none();
    let wanted = match settings.backend {
        Backend::NpuSmi => false,
        Backend::Dcmi => true,
        Backend::Auto => dcmi::library(roots, None).is_some(),
    };
    permitted && wanted
}

/// The sampler that reads through the library, in a worker process.
pub(super) fn library(settings: &Settings, roots: &HostRoots, node_name: &str) -> io::Result<WorkerSampler> {
    dcmi::sampler(Launch {
        program: own_program()?,
        library: None,
        roots: roots.clone(),
        node_name: node_name.to_owned(),
        period: settings.period,
        deadline: settings.timeout,
    })
}

/// A backend that is chosen on the sampler's own thread: the directories of library and tool may lie in a file system that does
/// not answer.
struct Unchosen {
    /// For all backends: that of the tool, whose deadline is the latest.
    descriptor: Descriptor,
    choose: Box<dyn Fn() -> Box<dyn Sampler> + Send>,
    chosen: Option<Box<dyn Sampler>>,
}

impl Sampler for Unchosen {
    fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }

    fn wait(&mut self, until: Instant) {
        match &mut self.chosen {
            Some(chosen) => chosen.wait(until),
            None => std::thread::sleep(until.saturating_duration_since(Instant::now())),
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.chosen.get_or_insert_with(&self.choose).sample(out)
    }
}

/// The library until it has failed [`MAX_FAILURES`] times in a row, the tool from then on.
struct Fallback {
    library: Option<WorkerSampler>,
    failures: u32,
    tool: ToolSampler,
}

impl Sampler for Fallback {
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
            // There is no library, or it finds no NPU: the tool may find one.
            Outcome::NothingHere(reason) | Outcome::Gone(reason) => {
                self.failures = MAX_FAILURES;
                reason
            }
            Outcome::Retry(error) => {
                self.failures += 1;
                chain(error.as_ref())
            }
        };
        if self.failures < MAX_FAILURES {
            return Outcome::Retry(why.into());
        }
        tracing::info!(
            why,
            "Ascend NPUs are read through npu-smi, because libdcmi.so gives nothing"
        );
        self.library = None;
        // What the library read last ends, or is in the tool's part from now on.
        out.push(Batch::new(NAME, dcmi::PART, Vec::new()));
        self.tool.sample(out)
    }
}
