//! Findings for `agent doctor`.

use std::time::Instant;

use super::npu_smi::Cause;
use super::reader::{ReadError, Reader};
use super::settings::{Backend, NAME, Settings};
use super::tool::Tool;
use super::{admin, backend, dcmi, tool};
use crate::catalogue as ascend;
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::{Finding, Level, Outcome, Sampler};
use accelscope_core::worker::own_program;
use accelscope_core::{chain, trust};

/// Longest `/proc/devices` that is read.
const MAX_BYTES: usize = 1 << 20;

/// Findings about the Ascend NPUs of this host. Calls the library and the tool, if that is permitted; each takes at most
/// `ascend.timeout`.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let mut found: Vec<Finding> = library(roots, settings).into_iter().collect();
    let works = found.iter().any(|finding| finding.level == Level::Ok);
    if found.is_empty() || !(works || settings.backend == Backend::Dcmi) {
        tool(roots, settings, &mut found);
    }
    found.extend(trust::explain_refused(NAME));
    found
}

/// Result of one reading through the library, if the configuration permits that.
fn library(roots: &HostRoots, settings: &Settings) -> Option<Finding> {
    let is_required = settings.backend == Backend::Dcmi;
    if is_required && dcmi::library(roots, None).is_none() {
        let remedy = "install the driver's package, or set ascend.backend to auto";
        return Some(Finding::fail(NAME, "libdcmi.so was not found").with_remedy(remedy));
    }
    if !backend::uses_library(settings, roots) {
        return None;
    }
    let mut batches = Vec::new();
    let why = match backend::library(settings, roots, "").map(|mut library| library.sample(&mut batches)) {
        Ok(Outcome::Sampled) => {
            let points = batches.iter().flat_map(|batch| &batch.points);
            let chips = points.filter(|point| *point.instrument == ascend::DEVICE_INFO).count();
            return Some(Finding::ok(NAME, format!("libdcmi.so lists {chips} chips")));
        }
        Ok(Outcome::NothingHere(reason) | Outcome::Gone(reason)) => reason,
        Ok(Outcome::Retry(error)) => chain(error.as_ref()),
        Err(error) => error.to_string(),
    };
    Some(if is_required {
        let remedy = "remedy that, or set ascend.backend to auto for npu-smi";
        Finding::fail(NAME, format!("libdcmi.so gives nothing: {why}")).with_remedy(remedy)
    } else {
        let what = format!("libdcmi.so gives nothing, npu-smi is called instead: {why}");
        Finding::warn(NAME, what)
    })
}

/// Result of one call of the tool, if the configuration permits that.
fn tool(roots: &HostRoots, settings: &Settings, found: &mut Vec<Finding>) {
    let Some(tool) = tool::find(roots, settings) else {
        let level = if tool::devices(roots).is_empty() {
            Level::Nothing
        } else {
            Level::Fail
        };
        found.push(Finding::new(level, NAME, tool::absence(roots)));
        return;
    };
    if let Some(why) = admin::missing() {
        let what = format!("starting {} would seize the card: {why}", tool.path.display());
        if settings.require_admin {
            let what = format!("not permitted: {what}");
            found.push(Finding::fail(NAME, what).with_remedy(admin::REMEDY));
            return;
        }
        let remedy = "set ascend.require_admin = true unless you know that it locks nobody out";
        found.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
    table(roots, settings, &tool, found);
}

fn table(roots: &HostRoots, settings: &Settings, tool: &Tool, found: &mut Vec<Finding>) {
    let started = Instant::now();
    let path = tool.path.display();
    let mut reader = own_program().map_or_else(|_| Reader::default(), Reader::supervised_by);
    let table = match reader.table(tool, settings.timeout) {
        Ok(table) => table,
        Err(error) => {
            found.push(failure(roots, tool, &error));
            return;
        }
    };
    let what = format!(
        "{path} lists {} chips and {} processes in {:.1} s (driver {})",
        table.chips.len(),
        table.processes.len(),
        started.elapsed().as_secs_f64(),
        table.driver_version.as_deref().unwrap_or("unknown"),
    );
    found.push(Finding::ok(NAME, what));
    found.extend(table.error.map(|error| {
        let what = format!("not all chips are seen: {} ({})", error.cause.meaning(), error.line);
        Finding::warn(NAME, what).with_remedy(error.cause.remedy())
    }));
    if !table.skipped.is_empty() {
        let what = format!(
            "values that could not be read or understood, by column: {:?}",
            table.skipped
        );
        let remedy = "a chip that is busy or starting has them later; else report the output of `npu-smi info`";
        found.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
}

fn failure(roots: &HostRoots, tool: &Tool, error: &ReadError) -> Finding {
    let path = tool.path.display();
    let Some(error) = error.tool() else {
        let remedy = "run `npu-smi info` yourself where the agent runs, as root";
        return Finding::fail(NAME, format!("{path}: {}", chain(error))).with_remedy(remedy);
    };
    let remedy = match error.cause {
        Cause::NotInitialized => remedy_for_uninitialized(roots),
        cause => cause.remedy(),
    };
    let what = format!("{path}: {}: {}", error.cause.meaning(), error.line);
    Finding::fail(NAME, what).with_remedy(remedy)
}

/// Remedy for [`Cause::NotInitialized`]: the driver has one return code for several faults, which the host's files
/// distinguish.
fn remedy_for_uninitialized(roots: &HostRoots) -> &'static str {
    let devices = roots.read("/proc/devices", MAX_BYTES).unwrap_or_default();
    let devices = String::from_utf8_lossy(&devices).into_owned();
    let is_registered = |name: &str| devices.lines().any(|line| line.split_whitespace().nth(1) == Some(name));
    if !is_registered("devdrv-cdev") && !is_registered("hisi_davinci_intf") {
        "load the Ascend driver: `/proc/devices` has none of its devices (install the driver's package, or reboot)"
    } else if !std::path::Path::new("/dev/davinci_manager").exists() {
        "give the agent's container /dev/davinci_manager and /dev/davinci*: a privileged container has them"
    } else if rustix::fs::access(
        "/dev/davinci_manager",
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    )
    .is_err()
    {
        "run the agent as root or in the group HwHiAiUser: it may not open /dev/davinci_manager"
    } else {
        "reboot: the Ascend driver is loaded but does not start, as after an upgrade; `dmesg` has the details"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_driver_is_distinguished_from_one_without_the_nodes() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir(host.path().join("proc")).unwrap();
        let roots = HostRoots::new(host.path());
        let write = |text| std::fs::write(host.path().join("proc/devices"), text).unwrap();
        write("Character devices:\n  1 mem\n");
        assert!(remedy_for_uninitialized(&roots).contains("load the Ascend driver"));
        write("Character devices:\n510 devdrv-cdev\n511 hisi_davinci_intf\n");
        assert!(!remedy_for_uninitialized(&roots).contains("load the Ascend driver"));
    }

    #[test]
    fn a_host_without_npus_has_no_fault() {
        let host = tempfile::tempdir().unwrap();
        let found = explain(&HostRoots::new(host.path()), &Settings::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Nothing, "{found:?}");
    }
}
