//! Findings for `agent doctor`.

use std::time::{Duration, Instant};

use super::explain_gpus::{HUNG_REMEDY, SeenGpus};
use super::presence::{self, Presence};
use super::sampler::{Launch, sampler};
use super::settings::Settings;
use super::topics::{NAMESPACE_REMEDY, Namespace};
use super::{NAME, library};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::{Finding, Outcome, Sampler};
use accelscope_core::worker::{RenewalReason, WorkerError, WorkerSampler};
use accelscope_core::{chain, trust};

/// Time after which a worker that crashed once may be started again. The time after the second crash is twice as long.
const PAUSE: Duration = Duration::from_millis(1100);
/// Number of attempts to read all GPUs: after the second call that hangs or crashes, a GPU is left out as a whole.
const ATTEMPTS: u32 = 3;
/// Time after which no further attempt begins.
const LONGEST: Duration = Duration::from_secs(25);

/// Explains the NVIDIA GPUs of this host. It reads them in a worker, which takes at most three quarters of a minute.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    if settings.library.is_none() {
        match presence::look(roots) {
            Presence::Driver => {}
            Presence::Nothing => {
                let remedy = "in a container, mount the host's root (host.root) or give it the GPUs' devices; else \
                              nothing is to be done";
                let what = "no NVIDIA GPU and no NVIDIA driver on this host";
                return vec![Finding::nothing(NAME, what).with_remedy(remedy)];
            }
            Presence::Bus(count) => {
                let remedy = "`modprobe nvidia`, or look at `dmesg` for why it does not load; GPUs that are passed to \
                              virtual machines (vfio-pci) or run nouveau are not seen from here";
                let what = format!("{count} NVIDIA GPU(s) on the bus, but NVIDIA's kernel driver is not loaded");
                return vec![Finding::warn(NAME, what).with_remedy(remedy)];
            }
        }
    }
    let mut found = Vec::new();
    let driver = presence::driver_version(roots);
    let libraries = library::candidates(roots, settings.library.as_deref());
    if settings.library.is_none() && libraries.is_empty() {
        let what = "libnvidia-ml.so.1 is in none of the places where drivers put it; the loader is asked for it";
        found.push(Finding::warn(NAME, what).with_remedy(library::REMEDY));
    }
    found.extend(libraries.first().and_then(|library| {
        let error = trust::check(library, &trust::library_path([]).1).err()?;
        Some(Finding::fail(NAME, chain(&error)).with_remedy("name another with nvidia.library"))
    }));
    found.extend(look(roots, settings, driver.as_deref()));
    found.extend(trust::explain_refused(NAME));
    let loss = Namespace::detect(roots).loss();
    found.extend(loss.map(|loss| Finding::warn(NAME, loss).with_remedy(NAMESPACE_REMEDY)));
    found
}

/// Reads all GPUs and explains what it found.
fn look(roots: &HostRoots, settings: &Settings, driver: Option<&str>) -> Vec<Finding> {
    let mut batches: Vec<Batch> = Vec::new();
    let launched = Launch::new(settings, roots, "").and_then(sampler);
    let (outcome, is_hung) = match launched {
        Ok(mut worker) => read(&mut worker, &mut batches),
        Err(error) => (Outcome::Retry(error.into()), false),
    };
    let gpus = SeenGpus::of(&batches);
    let reported = batches
        .iter()
        .flat_map(|batch| &batch.points)
        .find_map(|point| point.attributes.get(key::HW_DRIVER_VERSION).map(ToString::to_string));
    let driver = driver.map(str::to_owned).or(reported);
    let driver = driver.as_deref().unwrap_or("of an unknown version");
    let points: usize = batches.iter().map(|batch| batch.points.len()).sum();
    let (all, failed) = (gpus.count(), gpus.failed());
    let read = match failed {
        0 => format!("NVML reports {all} GPU(s), {points} values (driver {driver})"),
        _ => format!(
            "{} of {all} GPU(s) work, {points} values (driver {driver})",
            all - failed
        ),
    };
    let summary = match outcome {
        Outcome::Sampled if failed == 0 => Finding::ok(NAME, read),
        Outcome::Sampled if failed < all => Finding::warn(NAME, read),
        Outcome::Sampled => Finding::fail(NAME, read),
        Outcome::NothingHere(why) | Outcome::Gone(why) => {
            Finding::warn(NAME, format!("the driver {driver} is loaded, but {why}")).with_remedy(
                "give the agent's container the GPUs: NVIDIA_VISIBLE_DEVICES=all with the runtime class nvidia",
            )
        }
        Outcome::Retry(error) if all > 0 => {
            let what = format!("{read}, and then no more: {}", chain(error.as_ref()));
            Finding::fail(NAME, what).with_remedy(HUNG_REMEDY)
        }
        Outcome::Retry(error) => {
            let what = format!("NVML gives nothing (driver {driver}): {}", chain(error.as_ref()));
            Finding::fail(NAME, what).with_remedy(if is_hung { HUNG_REMEDY } else { library::REMEDY })
        }
    };
    std::iter::once(summary).chain(gpus.findings()).collect()
}

/// Reads all GPUs; again if an attempt ended with a call that hung or crashed, which the next one leaves out. Also returns
/// whether the first attempt did.
fn read(worker: &mut WorkerSampler, batches: &mut Vec<Batch>) -> (Outcome, bool) {
    let begun = Instant::now();
    let first = worker.sample(batches);
    let Outcome::Retry(error) = &first else {
        return (first, false);
    };
    let error = error.downcast_ref();
    let is_hung = matches!(worker.renewed(), Some(RenewalReason::Hung | RenewalReason::StartHung))
        || matches!(error, Some(WorkerError::Exited { .. } | WorkerError::Deadline(_)));
    let mut has_crashed = matches!(error, Some(WorkerError::Exited { .. }));
    for attempt in 1..ATTEMPTS {
        if has_crashed {
            std::thread::sleep(PAUSE * attempt);
        }
        if begun.elapsed() > LONGEST {
            break;
        }
        let mut again: Vec<Batch> = Vec::new();
        match worker.sample(&mut again) {
            Outcome::Retry(error) => has_crashed = matches!(error.downcast_ref(), Some(WorkerError::Exited { .. })),
            other => {
                *batches = again;
                return (other, is_hung);
            }
        }
    }
    (first, is_hung)
}
