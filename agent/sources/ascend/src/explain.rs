//! Why there is nothing to see, and what to do about it.

use super::child::Child;
use super::npu_smi::{Cause, ParseError};
use super::sampler::{NAME, ReadError, read};
use super::settings::{Backend, Settings};
use super::{admin, backend, tool};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::{Finding, Level};

const BECOME_ADMIN: &str = "run the agent's container privileged and as root without a user namespace, or on the host \
    as root; where you know that opening a card here locks nobody out, set ascend.require_admin = false";

/// Longest `/proc/devices` that is read.
const MOST_BYTES: usize = 1 << 20;

/// For the log, when nothing is started.
pub(super) fn not_permitted(why: &str) -> String {
    format!("not permitted: would seize the card: {why}; {BECOME_ADMIN}")
}

/// Everything that can be said about the Ascend NPUs of this host. It asks the tool, if that is permitted, and takes
/// as long as the tool does, at most `ascend.timeout`.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let devices = tool::devices(roots);
    if let Some(by_library) = backend::explain(settings, roots) {
        let last = by_library.level == Level::Ok || settings.backend == Backend::Dcmi;
        found.push(by_library);
        if last {
            return found;
        }
    }
    let Some(tool) = tool::find(roots, settings) else {
        let level = if devices.is_empty() {
            Level::Nothing
        } else {
            Level::Fail
        };
        found.push(Finding::new(level, NAME, tool::absence(roots)));
        return found;
    };
    let path = tool.path.display();
    if let Some(why) = admin::missing() {
        let what = format!("starting {path} would seize the card: {why}");
        if settings.require_admin {
            found.push(Finding::fail(NAME, format!("not permitted: {what}")).with_remedy(BECOME_ADMIN));
            return found;
        }
        let remedy = "set ascend.require_admin = true unless you know that it locks nobody out";
        found.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
    let started = std::time::Instant::now();
    match read(&mut Child::default(), &tool, settings.timeout) {
        Ok(table) => {
            let what = format!(
                "{path} told of {} chips and {} processes in {:.1} s (driver {})",
                table.chips.len(),
                table.processes.len(),
                started.elapsed().as_secs_f64(),
                table.driver_version.as_deref().unwrap_or("unknown"),
            );
            found.push(Finding::ok(NAME, what));
            found.extend(table.fault.map(|fault| {
                let what = format!("not all chips are seen: {} ({})", fault.cause.meaning(), fault.line);
                Finding::warn(NAME, what).with_remedy(fault.cause.remedy())
            }));
            if !table.skipped.is_empty() {
                let what = format!(
                    "values that could not be read or understood, by column: {:?}",
                    table.skipped
                );
                let remedy =
                    "a chip that is busy or starting tells them later; else report the output of `npu-smi info`";
                found.push(Finding::warn(NAME, what).with_remedy(remedy));
            }
        }
        Err(error) => found.push(failure(roots, &path.to_string(), &error)),
    }
    found
}

fn failure(roots: &HostRoots, path: &str, error: &ReadError) -> Finding {
    let cause = match error {
        ReadError::Parse(ParseError::Tool(error)) => Some(error.cause),
        ReadError::Status { cause, .. } => Some(*cause),
        ReadError::Parse(_) | ReadError::Child(_) => None,
    };
    let Some(cause) = cause else {
        let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
        return Finding::fail(NAME, format!("{path}: {error}{source}"));
    };
    let remedy = match cause {
        Cause::NotInitialized => why_not_initialized(roots),
        cause => cause.remedy(),
    };
    Finding::fail(NAME, format!("{path}: {}", cause.meaning())).with_remedy(remedy)
}

/// The tool has one return code for three faults; the host tells them apart.
fn why_not_initialized(roots: &HostRoots) -> &'static str {
    let devices = roots.read("/proc/devices", MOST_BYTES).unwrap_or_default();
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
        "reboot: the Ascend driver is loaded but does not start, as after an upgrade; `dmesg` says more"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_driver_is_told_from_one_without_the_nodes() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir(host.path().join("proc")).unwrap();
        let roots = HostRoots::new(host.path());
        let write = |text| std::fs::write(host.path().join("proc/devices"), text).unwrap();
        write("Character devices:\n  1 mem\n");
        assert!(why_not_initialized(&roots).contains("load the Ascend driver"));
        write("Character devices:\n510 devdrv-cdev\n511 hisi_davinci_intf\n");
        assert!(!why_not_initialized(&roots).contains("load the Ascend driver"));
    }

    #[test]
    fn a_host_without_npus_has_no_fault() {
        let host = tempfile::tempdir().unwrap();
        let found = explain(&HostRoots::new(host.path()), &Settings::default());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Nothing, "{found:?}");
    }
}
