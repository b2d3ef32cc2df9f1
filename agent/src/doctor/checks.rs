//! Checks of the doctor. They change nothing and open no device node.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::Access;

use super::accelerators::{accelerators, while_running};
use super::access::access;
use super::closed::closed;
use super::destinations::destinations;
use super::named::Named;
use super::running::Running;
use crate::config::{Config, Loaded};
use accelscope_core::exhausted;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::host::process::Processes;
use accelscope_core::host::{HostRoots, user_namespace};
use accelscope_core::sampler::{Finding, Level};
use accelscope_core::source::Context;
use accelscope_export::compat;
use accelscope_pipeline::attribution::Engines;

/// Limit of examined processes; more would give the same result.
const MOST_PROCESSES: usize = 2_000;
/// Most processes that are named in one line.
const MOST_NAMED: usize = 3;

/// Checks everything that the configuration requires.
pub fn examine(loaded: &Loaded, context: &Context) -> Vec<Finding> {
    let config = &loaded.config;
    let running = Running::find(config, loaded.file.as_deref());
    let mut named = Named::new(&context.roots, &config.attribution.engine_directories);
    let mut effective = config.clone();
    running.adopt_settings(&mut effective, context.sources);
    let mut findings = running.about(config, &effective, context.sources, &mut named);
    // The rights that count are the running agent's.
    let mut own = running.own_findings();
    if own.is_empty() {
        own = of_host(config, &context.roots);
        own.extend(of_files(config));
    }
    let is_of_host = |finding: &Finding| ["host.root", "attribution"].contains(&finding.about);
    let (of_host, of_files): (Vec<_>, Vec<_>) = own.into_iter().partition(is_of_host);
    findings.extend(of_host);
    findings.extend(accelerators(&effective, context, &running));
    findings.extend(destinations(config, &running));
    findings.extend(listeners(config, &running));
    findings.extend(of_files);
    if let Err(problem) = config.has_output() {
        let (what, remedy) = problem.split_once("; ").unwrap_or((&problem, ""));
        findings.push(Finding::fail("config", what).with_remedy(remedy));
    }
    for finding in &mut findings {
        if let Some(remedy) = exhausted::remedy(&finding.what) {
            finding.remedy = Some(remedy.to_owned());
        }
    }
    named.complete(&mut findings);
    findings
}

/// What a running agent finds out for `agent doctor`, with its own rights: of the host, of files, and of the sources that can
/// be examined beside their samplers.
pub fn of_this_process(config: &Config, context: &Context) -> Vec<Finding> {
    let mut findings = of_host(config, &context.roots);
    findings.extend(of_files(config));
    findings.extend(while_running(config, context, Level::Ok));
    findings
}

fn of_host(config: &Config, roots: &HostRoots) -> Vec<Finding> {
    let mut findings = vec![host(roots), processes(roots)];
    findings.extend(containers(roots, &config.attribution.engine_directories));
    findings
}

fn of_files(config: &Config) -> Vec<Finding> {
    let textfile = config.compat.textfile.as_deref().map(textfile);
    access(config).into_iter().chain(textfile).collect()
}

fn host(roots: &HostRoots) -> Finding {
    match std::fs::read_dir(roots.sys().join("class")) {
        Ok(_) => Finding::ok("host.root", format!("the host's /sys is at {}", roots.sys().display())),
        Err(error) => Finding::fail(
            "host.root",
            format!("{} cannot be read: {error}", roots.sys().display()),
        )
        .with_remedy("set host.root to where the host's root directory is mounted, / on the host itself"),
    }
}

fn processes(roots: &HostRoots) -> Finding {
    let processes = Processes::new(roots);
    let pids = match processes.pids() {
        Ok(pids) => pids,
        Err(error) => {
            return Finding::fail(
                "host.root",
                format!("{} cannot be read: {error}", roots.proc().display()),
            )
            .with_remedy("mount the host's /proc below host.root");
        }
    };
    if !pids.contains(&1) || pids.len() < 2 {
        return Finding::warn(
            "attribution",
            format!("{} shows only {} processes", roots.proc().display(), pids.len()),
        )
        .with_remedy("run the agent with hostPID: true, else no process can be named");
    }
    let closed = closed(&processes, &pids[..pids.len().min(MOST_PROCESSES)]);
    if closed.is_empty() {
        return Finding::ok("attribution", format!("{} processes can be told apart", pids.len()));
    }
    Finding::warn(
        "attribution",
        format!(
            "{} of {} processes cannot be looked into{}: what they use is not seen or has no name",
            closed.len(),
            pids.len(),
            examples(roots, &processes, &closed),
        ),
    )
    .with_remedy(if user_namespace::is_own() {
        user_namespace::REMEDY
    } else {
        "run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; in a container also without an AppArmor profile \
         (appArmorProfile: Unconfined) or SELinux type (spc_t) that forbids it"
    })
}

/// Some of these processes, those in containers first. Threads of the kernel are none, though they cannot be looked into.
fn examples(roots: &HostRoots, processes: &Processes, pids: &[u32]) -> String {
    let cgroups = Cgroups::new(roots);
    let is_contained = |pid: u32| {
        processes
            .cgroup(pid)
            .is_ok_and(|text| cgroups.parse(&text).is_contained())
    };
    let mut named: Vec<u32> = pids
        .iter()
        .copied()
        .filter(|pid| matches!(processes.user_key(*pid), Ok(Some(_))))
        .collect();
    named.sort_by_cached_key(|pid| !is_contained(*pid));
    let named: Vec<String> = named
        .iter()
        .take(MOST_NAMED)
        .map(|pid| format!("process {pid}"))
        .collect();
    if named.is_empty() {
        return String::new();
    }
    format!(" (such as {})", named.join(", "))
}

fn containers(roots: &HostRoots, configured: &[PathBuf]) -> Vec<Finding> {
    let mut engines = Engines::new(roots, configured);
    let directories = engines.directories(Instant::now());
    let (readable, closed): (Vec<_>, Vec<_>) = directories.iter().partition(|(_, is_readable)| *is_readable);
    let shown = |directories: &[&(PathBuf, bool)]| {
        let paths = directories.iter().map(|(path, _)| path.display().to_string());
        paths.collect::<Vec<_>>().join(", ")
    };
    let mut findings = Vec::new();
    if !readable.is_empty() {
        let what = format!("containers' names come from {}", shown(&readable));
        findings.push(Finding::ok("attribution", what));
    }
    if !closed.is_empty() {
        let what = format!("containers' names are in {}, which cannot be read", shown(&closed));
        let remedy = if user_namespace::is_own() {
            user_namespace::REMEDY
        } else {
            "run as root or with CAP_DAC_READ_SEARCH"
        };
        findings.push(Finding::warn("attribution", what).with_remedy(remedy));
    }
    let is_absent = |path: &&PathBuf| directories.iter().all(|(found, _)| found != *path);
    for (path, reason) in engines.unusable() {
        if !configured.contains(&path) || !is_absent(&&path) {
            let what = format!("{} cannot be used for containers' names: {reason}", path.display());
            findings.push(Finding::warn("attribution", what).with_remedy("correct it"));
        }
    }
    for path in configured.iter().filter(is_absent) {
        let what = format!(
            "attribution.engine_directories names {}, which does not exist",
            path.display()
        );
        findings.push(Finding::warn("attribution", what).with_remedy(format!(
            "correct the path; it is looked up below host.root ({})",
            roots.path("/").display()
        )));
    }
    findings
}

fn listeners(config: &Config, running: &Running) -> Vec<Finding> {
    let check = |(key, address): (&str, SocketAddr)| match TcpListener::bind(address) {
        Ok(_) => Finding::ok("http", format!("{key} = {address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && running.listens_at(address.port()) => {
            Finding::ok("http", format!("{key} = {address} is the running agent's"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::warn("http", format!("{key} = {address} is in use")).with_remedy(format!(
                "set {key} to another address, or stop what listens there (ss -ltnp names it)"
            ))
        }
        Err(error) => Finding::fail("http", format!("{key} = {address} cannot be had: {error}"))
            .with_remedy(format!("correct {key}")),
    };
    config.listeners().into_iter().map(check).collect()
}

fn textfile(setting: &Path) -> Finding {
    let file = compat::textfile::file(setting);
    let directory = file.parent().unwrap_or(Path::new("/"));
    match rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(
            "compat",
            format!("compat.textfile can be written as {}", file.display()),
        ),
        Err(error) => Finding::fail(
            "compat",
            format!("compat.textfile: {} cannot be written to: {error}", directory.display()),
        )
        .with_remedy("make that directory, mount it writable and let the agent's user write to it"),
    }
}
