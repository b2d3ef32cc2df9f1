//! Checks of the doctor. They change nothing and open no device node.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Access;

use super::accelerators::accelerators;
use super::access::access;
use super::running::Running;
use crate::config::{Config, Proxies, Route};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::sampler::Finding;
use accelscope_core::source::Context;
use accelscope_export::compat;
use accelscope_export::otlp::Destination;
use accelscope_pipeline::attribution::Engines;

/// Limit of examined processes; more would give the same result.
const MOST_PROCESSES: usize = 2_000;
const CONNECT: Duration = Duration::from_secs(2);
/// Limit of addresses that are tried for one name.
const MOST_ADDRESSES: usize = 4;

/// Checks everything that the configuration requires.
pub fn examine(config: &Config, context: &Context) -> Vec<Finding> {
    let roots = &context.roots;
    let running = Running::find(config);
    let mut findings = running.about(config);
    findings.extend([host(roots), processes(roots)]);
    findings.extend(containers(roots, &config.attribution.engine_directories));
    findings.extend(accelerators(config, context, &running));
    let outdated = |to: &Destination| running.outdated(&to.name, &to.shown_endpoint());
    findings.extend(config.destinations().iter().filter_map(outdated));
    findings.extend(config.destinations().iter().map(|to| {
        let Some(mut state) = running.destination(&to.name, &to.shown_endpoint()) else {
            return destination(to, &config.proxies);
        };
        let way = way(to, &config.proxies);
        if !way.is_empty() {
            state.what.push_str(&format!("; it is reached{way}"));
        }
        state
    }));
    findings.extend(listeners(config, &running));
    findings.extend(access(config));
    findings.extend(config.compat.textfile.as_deref().map(textfile));
    if let Err(problem) = config.has_output() {
        let (what, remedy) = problem.split_once("; ").unwrap_or((&problem, ""));
        findings.push(Finding::fail("config", what).with_remedy(remedy));
    }
    findings
}

fn host(roots: &HostRoots) -> Finding {
    match std::fs::read_dir(roots.sys().join("class")) {
        Ok(_) => Finding::ok("host", format!("the host's /sys is at {}", roots.sys().display())),
        Err(error) => Finding::fail("host", format!("{} cannot be read: {error}", roots.sys().display()))
            .with_remedy("set host.root to where the host's root directory is mounted, / on the host itself"),
    }
}

fn processes(roots: &HostRoots) -> Finding {
    let processes = Processes::new(roots);
    let pids = match processes.pids() {
        Ok(pids) => pids,
        Err(error) => {
            return Finding::fail("host", format!("{} cannot be read: {error}", roots.proc().display()))
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
    let closed = pids
        .iter()
        .take(MOST_PROCESSES)
        .filter(|pid| is_closed(&processes, **pid))
        .count();
    if closed == 0 {
        return Finding::ok("attribution", format!("{} processes can be told apart", pids.len()));
    }
    Finding::warn(
        "attribution",
        format!(
            "{closed} of {} processes cannot be looked into: what they use is not seen or has no name",
            pids.len()
        ),
    )
    .with_remedy(
        "run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; in a container also without an AppArmor profile \
         (appArmorProfile: Unconfined) or SELinux type (spc_t) that forbids it",
    )
}

/// Whether access to its files or its view of the file system is denied. Processes that have ended are not.
fn is_closed(processes: &Processes, pid: u32) -> bool {
    let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let files = std::fs::read_dir(processes.path(pid, "fd")).map(drop);
    let root = std::fs::metadata(processes.path(pid, "root/.")).map(drop);
    files.and(root).is_err_and(denied)
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
        findings.push(Finding::warn("attribution", what).with_remedy("run as root or with CAP_DAC_READ_SEARCH"));
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

/// How the environment's proxies matter to a destination; nothing where they do not.
fn way(destination: &Destination, proxies: &Proxies) -> String {
    match (&destination.proxy, proxies.route(&destination.endpoint)) {
        (Some(proxy), _) => format!(" through the proxy {proxy}"),
        (None, Route::Excepted(why)) => format!(" directly ({why})"),
        _ => String::new(),
    }
}

fn destination(destination: &Destination, proxies: &Proxies) -> Finding {
    let Destination { name, endpoint, .. } = destination;
    let shown = destination.shown_endpoint();
    let way = way(destination, proxies);
    let (url, subject, remedy) = match &destination.proxy {
        Some(proxy) => (
            proxy.url(),
            format!("{shown} is reached{way}, which"),
            format!(
                "start the proxy, correct {}, or name the host in NO_PROXY",
                proxy.variable()
            ),
        ),
        None => (
            endpoint,
            format!("{shown}{way}"),
            "start the receiver or correct otlp.endpoint".to_owned(),
        ),
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(4317);
    let reached = (host, port).to_socket_addrs().and_then(connect);
    match reached {
        Ok(_) => Finding::ok("otlp", format!("destination {name}: {subject} accepts connections")),
        Err(error) => Finding::warn(
            "otlp",
            format!("destination {name}: {subject} cannot be reached: {error}"),
        )
        .with_remedy(format!(
            "{remedy}; until then points wait in the queue (otlp.queue_bytes)"
        )),
    }
}

/// Connects to the first address that accepts: `localhost` has two, and a receiver often listens on one of them.
fn connect(addresses: impl Iterator<Item = SocketAddr>) -> std::io::Result<TcpStream> {
    let mut failed = std::io::Error::other("the name has no address");
    for address in addresses.take(MOST_ADDRESSES) {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn listeners(config: &Config, running: &Running) -> Vec<Finding> {
    let check = |(key, address)| match TcpListener::bind(address) {
        Ok(_) => Finding::ok("http", format!("{key} = {address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && running.is_found() => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_listens_on_one_of_its_names_addresses_is_reached() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = free_port::free_address();
        let reached = connect([closed, open.local_addr().unwrap()].into_iter()).unwrap();
        assert_eq!(reached.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(connect([closed].into_iter()).is_err() && connect(std::iter::empty()).is_err());
    }
}
