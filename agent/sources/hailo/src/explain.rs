//! Findings of `agent doctor` about Hailo devices, the processes that use them, and their monitor files.

mod files;
mod guard;

use std::collections::BTreeSet;

use super::device::{self, Device};
use super::directory::{Directory, IN_ROOT};
use super::discover::{Holder, holders};
use super::environment::Environment;
use super::living::Living;
use super::settings::{NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::Timestamp;
use accelscope_core::sampler::Finding;
use files::Files;
use guard::Guard;

const START_WITH: &str = "set HAILO_MONITOR=1 in its environment (SCHEDULER_MONITOR=1 before HailoRT 4.13) and start it \
    again: HailoRT looks at it once, at its start";

/// Examines the devices, processes and monitor files of the host.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let devices = match device::scan(roots) {
        Ok(devices) => devices.into_values().collect(),
        Err(error) => {
            let remedy = "mount the host's /sys, and set host.root to where";
            found.push(fail(format!("sysfs cannot be read: {error}"), remedy));
            Vec::new()
        }
    };
    found.extend(without_driver(roots));
    let numbers = device::numbers(&devices);
    let mut guard = Guard::new(roots, Files::new(settings), numbers.clone());
    let (own, dir) = (roots.clone(), settings.dir.clone());
    guard.examine(
        &settings.dir,
        &mut found,
        move |files, living, found| match Directory::configured(&own, &dir) {
            Ok(directory) => {
                files.add(&directory, &dir, living, found);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let remedy = "run the agent as root, or set hailo.dir to the real directory";
                found.push(fail(format!("{}: {error}", dir.display()), remedy));
            }
        },
    );
    let processes = Processes::new(roots);
    let users = users(&processes, &numbers, &mut found);
    for user in &users {
        let (user, own) = (*user, settings.clone());
        let place = processes.path(user.process.pid, "root").join(IN_ROOT);
        guard.examine(&place, &mut found, move |files, living, found| {
            examine_user(living, user, &own, files, found);
        });
    }
    let files = guard.files;
    examine_devices(&devices, &files, users.len(), settings, &mut found);
    if devices.is_empty() && files.fresh.is_empty() && found.is_empty() {
        let remedy = "on a machine with a Hailo, load its driver (hailo_pci, hailo1x_pci) and check `lspci -d 1e60:`";
        found.push(Finding::nothing(NAME, "no Hailo device found").with_remedy(remedy));
    }
    found.extend(files.left_behind());
    found
}

/// Why a run found nothing, in one line.
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
        fail(format!("Hailo device {address} has no driver"), remedy)
    })
}

fn fail(what: String, remedy: &str) -> Finding {
    Finding::fail(NAME, what).with_remedy(remedy)
}

fn warn(what: String, remedy: impl Into<String>) -> Finding {
    Finding::warn(NAME, what).with_remedy(remedy)
}

fn users(processes: &Processes, numbers: &BTreeSet<u64>, found: &mut Vec<Finding>) -> Vec<Holder> {
    holders(processes, numbers).unwrap_or_else(|error| {
        let remedy = "mount the host's /proc, and set host.root to where";
        found.push(warn(format!("processes cannot be listed: {error}"), remedy));
        Vec::new()
    })
}

/// Examines the monitor files in the mount namespace of a process that holds a device open.
fn examine_user(living: &mut Living, user: Holder, settings: &Settings, files: &mut Files, found: &mut Vec<Finding>) {
    let pid = user.process.pid;
    let who = living.name(pid);
    let processes = &living.processes.clone();
    if who.ends_with("(hailort_service)") {
        let what = format!("{who} works for all its clients: they are seen as this one process");
        let remedy = "for readings of each client, do not use the multi-process service in the applications";
        found.push(warn(what, remedy));
    }
    let root = processes.path(pid, "root");
    let unseen = match Directory::in_namespace(processes, pid) {
        Ok(directory) => {
            let is_new = files.add(&directory, &root.join(IN_ROOT), living, found);
            if is_new && !settings.discover {
                let what = format!("{who} has a directory of monitor files of its own, which is not looked at");
                found.push(warn(what, "set hailo.discover = true"));
            }
            String::new()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!(" that can be seen: its /tmp/hmon_files cannot be opened: {error}"),
    };
    let ids = processes.ns_pids(pid).unwrap_or_default();
    if files.explained.contains(&pid) || files.fresh.contains(&ids.last().copied().unwrap_or(pid)) {
        return;
    }
    let environment = living.environment(pid);
    if let Some(first) = environment
        .as_ref()
        .and_then(|environment| first_write(processes, user, environment))
    {
        found.push(Finding::ok(NAME, format!("{who} uses a Hailo and {first}")));
        return;
    }
    let (what, remedy) = match environment.map(|environment| environment.is_monitored) {
        Some(true) => (
            format!("{who} uses a Hailo and was started with HAILO_MONITOR=1, but writes no monitor file{unseen}"),
            "check that it can create /tmp/hmon_files and write to it (the first user to run HailoRT owns it), and that \
             it has opened a virtual device",
        ),
        Some(false) => (
            format!("{who} uses a Hailo and was started without HAILO_MONITOR=1"),
            START_WITH,
        ),
        None => (
            format!("{who} uses a Hailo but writes no monitor file{unseen}"),
            START_WITH,
        ),
    };
    found.push(warn(what, remedy));
}

/// That the first write of a process is not due yet, which is an interval after its start.
fn first_write(processes: &Processes, user: Holder, environment: &Environment) -> Option<String> {
    let interval = environment
        .interval()
        .filter(|_| environment.is_monitored && environment.sets_interval())?;
    let age = Timestamp::now().since(processes.started(user.process).ok()?);
    (age < interval * 2).then(|| {
        format!(
            "started {:.1} s ago: its first monitor file is due {:.1} s after it opened a virtual device ({environment})",
            age.as_secs_f64(),
            interval.as_secs_f64()
        )
    })
}

fn examine_devices(devices: &[Device], files: &Files, users: usize, settings: &Settings, found: &mut Vec<Finding>) {
    let dir = settings.dir.display();
    let (fresh, stale) = (files.fresh.len() + files.foreign, files.stale);
    let left = if stale > 0 {
        format!(" ({stale} left behind or no longer written)")
    } else {
        String::new()
    };
    found.extend(devices.iter().map(|device| {
        let who = format!("{} ({})", device.name, device.address);
        if device.monitored_on_card {
            let what = format!("{who} runs its scheduler on the card: the host gets no monitor files");
            warn(
                what,
                "none here: utilization of a Hailo-10H or -15 card is known on the card alone",
            )
        } else if fresh > 0 {
            Finding::ok(NAME, format!("{who}: {fresh} monitor files{left}"))
        } else if users == 0 {
            let what = format!("{who}: nobody uses it that can be seen; no live monitor file in {dir}{left}");
            warn(what, format!("where an application does use it, {START_WITH}"))
        } else {
            Finding::warn(NAME, format!("{who}: no live monitor file in {dir}{left}"))
        }
    }));
    if devices.is_empty() && fresh > 0 {
        let what = format!("{fresh} monitor files{left}, and no device in sysfs");
        found.push(Finding::ok(NAME, what));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use accelscope_proto::hailo::ProtoMon;
    use prost::Message;

    use super::super::device::tests::plant;
    use super::*;
    use accelscope_core::sampler::Level;

    fn settings() -> Settings {
        Settings {
            min_interval: std::time::Duration::ZERO,
            ..Settings::default()
        }
    }

    /// A fake host with the real processes.
    fn host() -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc", host.path().join("proc")).unwrap();
        host
    }

    fn findings(host: &Path) -> Vec<Finding> {
        explain(&HostRoots::new(host), &settings())
    }

    #[test]
    fn a_host_without_hailo_differs_from_one_without_driver() {
        let host = host();
        let found = findings(host.path());
        assert_eq!((found.len(), found[0].level), (1, Level::Nothing));
        assert_eq!(found[0].what, "no Hailo device found");
        let pci = host.path().join("sys/bus/pci/devices/0001:01:00.0");
        std::fs::create_dir_all(&pci).unwrap();
        std::fs::write(pci.join("vendor"), "0x1e60\n").unwrap();
        let found = findings(host.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "Hailo device 0001:01:00.0 has no driver");
        assert_eq!(in_short(&HostRoots::new(host.path())), found[0].what);
    }

    #[test]
    fn a_process_without_the_monitor_is_named_with_the_remedy() {
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
                .env_clear()
                .env("HAILO_MONITOR", variable)
                .env("SECOND", "x".repeat(100_000))
                .env("THIRD", "x".repeat(100_000))
                .env("FOURTH", "x".repeat(100_000))
                .stdin(std::fs::File::open("/dev/full").unwrap())
                .spawn()
                .unwrap();
            // The kernel shows a new program's environment a moment after the program itself.
            let environ = format!("/proc/{}/environ", child.id());
            let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while std::fs::read(&environ).unwrap().is_empty() {
                assert!(std::time::Instant::now() < until, "{environ} stays empty");
            }
            let found = findings(host.path());
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
        let found = findings(host.path());
        assert!(
            found[0].what.starts_with("hailo0 (0001:01:00.0): nobody uses it"),
            "{found:?}"
        );
        assert!(found[1].what.contains("on the card"), "{found:?}");
    }

    #[test]
    fn files_of_live_processes_are_counted_apart_from_those_left_behind() {
        let host = host();
        plant(
            host.path(),
            "hailo_chardev",
            "hailo0",
            &[("board_location", "0001:01:00.0")],
        );
        let real = tempfile::tempdir_in("/tmp").unwrap();
        std::os::unix::fs::symlink("/tmp", host.path().join("tmp")).unwrap();
        let settings = Settings {
            dir: real.path().join("hmon_files"),
            ..settings()
        };
        std::fs::create_dir(&settings.dir).unwrap();
        let write = |pid: u32| {
            let message = ProtoMon {
                pid: pid.to_string(),
                ..ProtoMon::default()
            };
            std::fs::write(settings.dir.join(format!("{pid}abcdef")), message.encode_to_vec()).unwrap();
        };
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("HAILO_MONITOR", "1")
            .spawn()
            .unwrap();
        write(child.id());
        let findings = || explain(&HostRoots::new(host.path()), &settings);
        let found = findings();
        assert_eq!(found, [Finding::ok(NAME, "hailo0 (0001:01:00.0): 1 monitor files")]);
        child.kill().unwrap();
        child.wait().unwrap();
        let found = findings();
        assert!(found[0].what.ends_with("by a process that is not there"), "{found:?}");
        assert!(
            found[1].what.ends_with("(1 left behind or no longer written)"),
            "{found:?}"
        );
    }
}
