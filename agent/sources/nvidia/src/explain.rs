//! Findings for `agent doctor`.

use super::presence::{self, Presence};
use super::sampler::{Launch, sampler};
use super::settings::Settings;
use super::topics::{NAMESPACE_REMEDY, Namespace};
use super::{NAME, library};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::{Finding, Outcome, Sampler};
use accelscope_core::{chain, trust};

/// Explains the NVIDIA GPUs of this host. It reads them once in a worker, which takes at most a quarter of a minute.
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
        let error = trust::check(library).err()?;
        Some(Finding::fail(NAME, chain(&error)).with_remedy("name another with nvidia.library"))
    }));
    found.push(look(roots, settings, driver.as_deref()));
    let loss = Namespace::detect(roots).loss();
    found.extend(loss.map(|loss| Finding::warn(NAME, loss).with_remedy(NAMESPACE_REMEDY)));
    found
}

fn look(roots: &HostRoots, settings: &Settings, driver: Option<&str>) -> Finding {
    let mut batches: Vec<Batch> = Vec::new();
    let launched = Launch::new(settings, roots, "").and_then(sampler);
    let outcome = match launched {
        Ok(mut worker) => worker.sample(&mut batches),
        Err(error) => Outcome::Retry(error.into()),
    };
    let read = batches
        .iter()
        .filter(|batch| !batch.part.name.is_empty() && !batch.points.is_empty())
        .count();
    let reported = batches
        .iter()
        .flat_map(|batch| &batch.points)
        .find_map(|point| point.attributes.get(key::HW_DRIVER_VERSION).map(ToString::to_string));
    let driver = driver.map(str::to_owned).or(reported);
    let driver = driver.as_deref().unwrap_or("of an unknown version");
    let points: usize = batches.iter().map(|batch| batch.points.len()).sum();
    match outcome {
        Outcome::Sampled => Finding::ok(
            NAME,
            format!("NVML reports {read} GPU(s), {points} values (driver {driver})"),
        ),
        Outcome::NothingHere(why) | Outcome::Gone(why) => {
            Finding::warn(NAME, format!("the driver {driver} is loaded, but {why}")).with_remedy(
                "give the agent's container the GPUs: NVIDIA_VISIBLE_DEVICES=all with the runtime class nvidia",
            )
        }
        Outcome::Retry(error) if read > 0 => {
            let what = format!(
                "NVML reports {read} GPU(s), {points} values (driver {driver}), and then no more: {}",
                chain(error.as_ref())
            );
            Finding::fail(NAME, what).with_remedy(
                "what hangs is left alone by the running agent, which shows it as nvidia.reading.suspended; drain the \
                 node and reset the GPU (`nvidia-smi -r`) or reboot",
            )
        }
        Outcome::Retry(error) => {
            let what = format!("NVML gives nothing (driver {driver}): {}", chain(error.as_ref()));
            Finding::fail(NAME, what).with_remedy(library::REMEDY)
        }
    }
}
