//! The findings of `agent doctor` about the host.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use crate::cpu::Cpu;
use crate::disks::Disks;
use crate::info;
use crate::kept::is_absent;
use crate::key::{NETWORK_INTERFACE_NAME, SYSTEM_DEVICE};
use crate::load::Load;
use crate::memory::Memory;
use crate::mounted::mounted;
use crate::network::Network;
use crate::pressure::Pressure;
use crate::readings::Readings;
use crate::settings::{NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Point;
use accelscope_core::sampler::Finding;

/// Most names in one line.
const MOST_NAMED: usize = 8;
const UNREADABLE: &str = "run the agent as a user who may read it, such as root";
const NO_PRESSURE: &str = "let the agent read /proc/pressure, which its container's or service's rules hide";
const UNUSABLE: &str = "look at what stands there in place of the kernel's file, such as lxcfs or another mount";
const IN_CONTAINER: &str = "in a container, mount the host's / and name it in host.root";

/// What reading a file gave.
struct Tried {
    file: PathBuf,
    points: Vec<Point>,
    is_absent: bool,
    /// Why not all of it can be used, and what to do.
    problem: Option<(String, &'static str)>,
}

impl Tried {
    fn new(file: PathBuf, read: impl FnOnce(&mut Readings<'_>)) -> Self {
        let mut out = Readings::uncounted();
        read(&mut out);
        let (error, reason) = (out.error.take(), out.reason);
        let points = out.into_points();
        let is_absent = error.as_ref().is_some_and(is_absent);
        let problem = match (error, reason) {
            (Some(error), _) if !is_absent => Some((error.to_string(), remedy(&error))),
            (_, Some(reason)) => Some((reason.why().to_owned(), UNUSABLE)),
            _ => None,
        };
        Self {
            file,
            points,
            is_absent,
            problem,
        }
    }

    /// As [`new`](Self::new), of a file that always has something.
    fn required(file: PathBuf, read: impl FnOnce(&mut Readings<'_>)) -> Self {
        let mut tried = Self::new(file, read);
        if tried.points.is_empty() && !tried.is_absent {
            tried
                .problem
                .get_or_insert_with(|| ("has nothing of what it should have".to_owned(), UNUSABLE));
        }
        tried
    }

    fn problem(&self) -> Option<(String, &'static str)> {
        let (why, remedy) = self.problem.as_ref()?;
        Some((format!("{}: {why}", self.file.display()), remedy))
    }

    /// The same where the file is asked for.
    fn problem_of_group(&self) -> Option<(String, &'static str)> {
        let absent = || (format!("{} is not there", self.file.display()), IN_CONTAINER);
        self.problem().or_else(|| self.is_absent.then(absent))
    }
}

/// Reads what the sampler reads, once.
pub(crate) fn explain(settings: &Settings, roots: &HostRoots) -> Vec<Finding> {
    let proc = roots.proc();
    let stat = Tried::required(proc.join("stat"), |out| Cpu::new(roots).read(None, Instant::now(), out));
    let memory = Tried::required(proc.join("meminfo"), |out| Memory::new(roots).read(out));
    // Without these there is next to nothing.
    if let Some(absent) = [&stat, &memory].into_iter().find(|tried| tried.is_absent) {
        let what = format!("{} is not there", absent.file.display());
        return vec![Finding::nothing(NAME, what).with_remedy(IN_CONTAINER)];
    }
    let load = Tried::required(proc.join("loadavg"), |out| Load::new(roots).read_averages(out));
    let uptime = Tried::required(proc.join("uptime"), |out| Load::new(roots).read_uptime(out));
    let main = [("CPU", stat), ("load", load), ("memory", memory), ("uptime", uptime)];
    let mut findings = vec![of_main(&main, &pressure(roots), roots)];
    if settings.disks {
        findings.push(disks(roots));
    }
    if settings.filesystems {
        findings.push(filesystems(roots));
    }
    if settings.network {
        findings.push(network(roots));
    }
    findings
}

fn pressure(roots: &HostRoots) -> Vec<Tried> {
    let each = Pressure::new(roots).each().into_iter();
    each.map(|mut resource| Tried::required(resource.path().to_owned(), |out| resource.read(out)))
        .collect()
}

fn of_main(main: &[(&str, Tried)], pressure: &[Tried], roots: &HostRoots) -> Finding {
    let read: Vec<&str> = main
        .iter()
        .filter(|(_, tried)| !tried.points.is_empty())
        .map(|(name, _)| *name)
        .collect();
    let mut what = if read.is_empty() {
        "reads none of CPU, load, memory and uptime".to_owned()
    } else {
        format!("reads {}", read.join(", "))
    };
    if let Some(kernel) = info::kernel(roots) {
        what += &format!(" of Linux {kernel}");
    }
    let has_pressure = pressure.iter().any(|tried| !tried.points.is_empty());
    what += if has_pressure { ", and pressure" } else { "" };
    let of_main = main.iter().filter_map(|(_, tried)| tried.problem());
    let of_pressure = pressure.iter().filter_map(Tried::problem).map(|(what, remedy)| {
        let remedy = if remedy == UNREADABLE { NO_PRESSURE } else { remedy };
        (what, remedy)
    });
    let problems: Vec<(String, &str)> = of_main.chain(of_pressure).collect();
    if let [(_, remedy), ..] = problems.as_slice() {
        let all: Vec<&str> = problems.iter().map(|(what, _)| what.as_str()).collect();
        return Finding::warn(NAME, format!("{what}; not all can be used: {}", all.join("; "))).with_remedy(*remedy);
    }
    if has_pressure {
        return Finding::ok(NAME, what);
    }
    Finding::ok(NAME, format!("{what}; no pressure: the kernel does not measure it")).with_remedy(
        "where it is wanted, boot a kernel that has CONFIG_PSI (Linux 4.20) with psi=1 on its command line",
    )
}

fn disks(roots: &HostRoots) -> Finding {
    let tried = Tried::new(roots.proc().join("diskstats"), |out| Disks::new(roots).read(out));
    let names = names(&tried.points, SYSTEM_DEVICE);
    let none = "host.disks shows nothing: there are none but partitions, hidden paths, memory and loop devices";
    group("disks", &names, tried.problem_of_group(), none)
}

fn network(roots: &HostRoots) -> Finding {
    let tried = Tried::new(roots.proc().join("1/net/dev"), |out| Network::new(roots).read(out));
    let names = names(&tried.points, NETWORK_INTERFACE_NAME);
    let none = "host.network shows nothing: the host has no interface but lo";
    group("network interfaces", &names, tried.problem_of_group(), none)
}

/// By the list of mounts alone: a file system may not answer.
fn filesystems(roots: &HostRoots) -> Finding {
    let none = "host.filesystems shows nothing: nothing is mounted that stores something";
    match mounted(roots) {
        Ok(found) => {
            let points = found.mounted.iter().map(|one| one.point.to_string_lossy().into_owned());
            group("file systems", &points.collect::<Vec<_>>(), None, none)
        }
        Err(error) => {
            let file = roots.proc().join("1/mountinfo");
            let problem = (format!("{}: {error}", file.display()), remedy(&error));
            group("file systems", &[], Some(problem), none)
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => UNREADABLE,
        io::ErrorKind::NotFound => IN_CONTAINER,
        _ => UNUSABLE,
    }
}

/// The different values of an attribute, in the order of the points.
fn names(points: &[Point], key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in points.iter().filter_map(|point| point.attributes.text(key)) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn group(kind: &str, names: &[String], problem: Option<(String, &str)>, none: &str) -> Finding {
    let more = names.len().saturating_sub(MOST_NAMED);
    let named = names[..names.len() - more].join(", ");
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    match problem {
        None if names.is_empty() => Finding::warn(NAME, none).with_remedy(IN_CONTAINER),
        None => Finding::ok(NAME, format!("{kind}: {named}{more}")),
        Some((what, remedy)) if names.is_empty() => {
            Finding::warn(NAME, format!("no {kind}: {what}")).with_remedy(remedy)
        }
        Some((what, remedy)) => Finding::warn(NAME, format!("{kind}: {named}{more}; {what}")).with_remedy(remedy),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
