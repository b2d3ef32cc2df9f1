//! Why there is nothing to see, and what to do about it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use super::Settings;
use super::device::{self, Device};
use super::directory::Directory;
use super::discover::{Holder, holders};
use crate::host::HostRoots;
use crate::host::process::Processes;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Something is not seen that could be.
    Warn,
    /// Nothing is seen.
    Fail,
}

/// One thing that was found, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

const START_WITH: &str = "set HAILO_MONITOR=1 in its environment (SCHEDULER_MONITOR=1 before HailoRT 4.13) and start it \
    again: HailoRT looks at it once, at its start";

/// Most bytes of a process' environment that are looked at.
const MAX_ENVIRONMENT: u64 = 256 * 1024;

fn finding(level: Level, what: impl Into<String>, remedy: impl Into<Option<String>>) -> Finding {
    Finding {
        level,
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// Everything that can be said about the Hailo devices of this host and what they let be seen, by looking anew.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let devices = match device::scan(roots) {
        Ok(devices) => devices.into_values().collect(),
        Err(error) => {
            let what = format!("sysfs cannot be read: {error}");
            found.push(finding(
                Level::Fail,
                what,
                "mount the host's /sys, and set host.root to where".to_owned(),
            ));
            Vec::new()
        }
    };
    found.extend(without_driver(roots));
    let mut files = 0;
    match Directory::configured(roots, &settings.dir).and_then(|directory| directory.names()) {
        Ok((names, _)) => files += names.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let remedy = "run the agent as root, or set hailo.dir to the real directory".to_owned();
            found.push(finding(
                Level::Fail,
                format!("{}: {error}", settings.dir.display()),
                remedy,
            ));
        }
    }
    let processes = Processes::new(roots);
    let users = users(&processes, &devices, &mut found);
    for user in &users {
        files += of_user(&processes, *user, settings, &mut found);
    }
    of_devices(&devices, files, users.len(), settings, &mut found);
    if devices.is_empty() && files == 0 && found.is_empty() {
        let remedy = "on a machine with a Hailo, load its driver (hailo_pci, hailo1x_pci) and check `lspci -d 1e60:`";
        found.push(finding(Level::Fail, "no Hailo device found", remedy.to_owned()));
    }
    found
}

/// One line for a run that found nothing.
pub(super) fn in_short(roots: &HostRoots) -> String {
    let unbound = without_driver(roots).next();
    unbound.map_or_else(
        || "no Hailo device and no monitor file found".to_owned(),
        |finding| finding.what,
    )
}

fn without_driver(roots: &HostRoots) -> impl Iterator<Item = Finding> {
    device::without_driver(roots).into_iter().map(|address| {
        let remedy = "install the driver of your HailoRT's version (package hailort-pcie-driver, on a Raspberry Pi \
                      hailo-all) and load it: `modprobe hailo_pci`, for a Hailo-10H `modprobe hailo1x_pci`";
        finding(
            Level::Fail,
            format!("Hailo device {address} has no driver"),
            remedy.to_owned(),
        )
    })
}

fn users(processes: &Processes, devices: &[Device], found: &mut Vec<Finding>) -> Vec<Holder> {
    let numbers: BTreeSet<u64> = devices.iter().filter_map(|device| device.number).collect();
    holders(processes, &numbers).unwrap_or_else(|error| {
        let what = format!("processes cannot be listed: {error}");
        found.push(finding(
            Level::Warn,
            what,
            "mount the host's /proc, and set host.root to where".to_owned(),
        ));
        Vec::new()
    })
}

/// How many monitor files the process' own view of the file system has, where that is not the configured directory.
fn of_user(processes: &Processes, user: Holder, settings: &Settings, found: &mut Vec<Finding>) -> usize {
    let pid = user.process.pid;
    let name = processes
        .executable_name(pid)
        .or_else(|_| processes.command_name(pid))
        .unwrap_or_default();
    let who = format!("process {pid} ({name})");
    if name == "hailort_service" {
        let what = format!("{who} works for all its clients: they are seen as this one process");
        let remedy = "for readings of each client, do not use multi-process service in the applications";
        found.push(finding(Level::Warn, what, remedy.to_owned()));
    }
    let directory = Directory::in_namespace(&processes.path(pid, "root"));
    let names = directory
        .and_then(|directory| directory.names())
        .map_or(Vec::new(), |(names, _)| names);
    let own = processes
        .ns_pids(pid)
        .ok()
        .and_then(|ids| ids.last().copied())
        .unwrap_or(pid)
        .to_string();
    if names
        .iter()
        .any(|file| file.as_encoded_bytes().starts_with(own.as_bytes()))
    {
        if !settings.discover {
            let what = format!("{who} may write to a directory that is not looked at");
            found.push(finding(Level::Warn, what, "set hailo.discover = true".to_owned()));
        }
        return names.len();
    }
    let (what, remedy) = match monitor_variable(&processes.path(pid, "environ")) {
        Some(true) => (
            format!("{who} uses a Hailo and was started with HAILO_MONITOR=1, but writes no monitor file"),
            "check that it can create /tmp/hmon_files and write to it (the first user to run HailoRT owns it), and that \
             it has opened a virtual device"
                .to_owned(),
        ),
        Some(false) => (format!("{who} uses a Hailo and was started without HAILO_MONITOR=1"), START_WITH.to_owned()),
        None => (format!("{who} uses a Hailo but writes no monitor file"), START_WITH.to_owned()),
    };
    found.push(finding(Level::Warn, what, remedy));
    0
}

/// Whether its environment, as it was at the process' start, turns the monitor on; unknown where it may not be read.
fn monitor_variable(environ: &Path) -> Option<bool> {
    let mut bytes = Vec::new();
    std::fs::File::open(environ)
        .ok()?
        .take(MAX_ENVIRONMENT)
        .read_to_end(&mut bytes)
        .ok()?;
    let on = [b"HAILO_MONITOR=1".as_slice(), b"SCHEDULER_MONITOR=1"];
    Some(
        bytes
            .split(|&byte| byte == 0)
            .any(|variable| on.iter().any(|on| variable.starts_with(on))),
    )
}

fn of_devices(devices: &[Device], files: usize, users: usize, settings: &Settings, found: &mut Vec<Finding>) {
    let dir = settings.dir.display();
    for device in devices {
        let Device { name, address, .. } = device;
        if device.monitored_on_card {
            let what = format!("{name} ({address}) runs its scheduler on the card: the host gets no monitor files");
            let remedy = "none here: utilization of a Hailo-10H or -15 card is known on the card alone";
            found.push(finding(Level::Warn, what, remedy.to_owned()));
        } else if files > 0 {
            found.push(finding(
                Level::Ok,
                format!("{name} ({address}): {files} monitor files"),
                None,
            ));
        } else if users == 0 {
            let what =
                format!("{name} ({address}): nobody uses it, or the agent cannot see who; no monitor file in {dir}");
            found.push(finding(
                Level::Warn,
                what,
                format!("where an application does use it, {START_WITH}"),
            ));
        } else {
            found.push(finding(
                Level::Warn,
                format!("{name} ({address}): no monitor file in {dir}"),
                None,
            ));
        }
    }
    if devices.is_empty() && files > 0 {
        found.push(finding(
            Level::Ok,
            format!("{files} monitor files, and no device in sysfs"),
            None,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::tests::plant;
    use super::*;

    fn settings() -> Settings {
        Settings {
            dir: "/tmp/hmon_files".into(),
            discover: true,
            max_age: None,
            min_interval: std::time::Duration::ZERO,
        }
    }

    /// A host of its own, but for the processes.
    fn host() -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", host.path().join("proc")).unwrap();
        host
    }

    fn said(host: &Path) -> Vec<Finding> {
        explain(&HostRoots::new(host), &settings())
    }

    #[test]
    fn a_host_without_hailo_is_told_apart_from_one_without_driver() {
        let host = host();
        let found = said(host.path());
        assert_eq!((found.len(), found[0].level), (1, Level::Fail));
        assert_eq!(found[0].what, "no Hailo device found");
        let pci = host.path().join("sys/bus/pci/devices/0001:01:00.0");
        std::fs::create_dir_all(&pci).unwrap();
        std::fs::write(pci.join("vendor"), "0x1e60\n").unwrap();
        let found = said(host.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "Hailo device 0001:01:00.0 has no driver");
        assert_eq!(in_short(&HostRoots::new(host.path())), found[0].what);
    }

    #[test]
    fn a_user_without_the_monitor_is_named_and_told_how() {
        let host = host();
        plant(
            host.path(),
            "hailo_chardev",
            "hailo0",
            &[("board_location", "0001:01:00.0"), ("dev", "1:7")],
        );
        let run = |variable: &str| {
            let mut child = std::process::Command::new("sleep")
                .arg("60")
                .env("HAILO_MONITOR", variable)
                .stdin(std::fs::File::open("/dev/full").unwrap())
                .spawn()
                .unwrap();
            let found = said(host.path());
            child.kill().unwrap();
            child.wait().unwrap();
            let named = format!("process {} (", child.id());
            found
                .into_iter()
                .find(|found| found.what.starts_with(&named))
                .expect("the child is named")
        };
        let without = run("0");
        assert!(
            without.what.ends_with("was started without HAILO_MONITOR=1"),
            "{}",
            without.what
        );
        assert!(without.remedy.unwrap().contains("HAILO_MONITOR=1"));
        let with = run("1");
        assert!(with.what.ends_with("but writes no monitor file"), "{}", with.what);
        assert!(with.remedy.unwrap().contains("/tmp/hmon_files"));
    }

    #[test]
    fn a_card_with_its_own_scheduler_and_an_idle_one_differ() {
        let host = host();
        plant(
            host.path(),
            "hailo_chardev",
            "hailo0",
            &[("board_location", "0001:01:00.0")],
        );
        plant(host.path(), "hailo1x", "h1x-0", &[("device_id", "0002:01:00.0")]);
        let found = said(host.path());
        assert!(
            found[0].what.starts_with("hailo0 (0001:01:00.0): nobody uses it"),
            "{found:?}"
        );
        assert!(found[1].what.contains("on the card"), "{found:?}");
        let dir = host.path().join("tmp/hmon_files");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("7abcdef"), "x").unwrap();
        assert_eq!(said(host.path())[0].level, Level::Ok);
    }
}
