//! The log's line about containers without a name.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::engines::Engines;
use accelscope_core::cgroup::Cgroup;

/// How long the first one waits for others, so that one line is of all that a start finds.
const GATHER: Duration = Duration::from_secs(2);
/// Least time between two lines.
const PAUSE: Duration = Duration::from_mins(10);
/// Most ids in a line.
const SHOWN: usize = 3;
/// Most directories in a line.
const DIRECTORIES: usize = 12;
/// Most unusable files in a line.
const FILES: usize = 4;

/// Containers without a name that were not logged yet.
#[derive(Debug, Default)]
pub(super) struct Nameless {
    since: Option<Instant>,
    logged: Option<Instant>,
    new: usize,
    shown: Vec<String>,
}

impl Nameless {
    pub(super) fn add(&mut self, cgroup: &Cgroup, now: Instant) {
        self.since.get_or_insert(now);
        self.new += 1;
        if self.shown.len() < SHOWN {
            let of_pod = || cgroup.pod_uid.as_ref().map(|uid| format!("pod {uid}"));
            self.shown.extend(cgroup.container().map(str::to_owned).or_else(of_pod));
        }
    }

    /// Whether there is a line to write now; with `at_once` as soon as there is anything to write.
    pub(super) fn is_due(&self, at_once: bool, now: Instant) -> bool {
        self.since.is_some_and(|since| {
            let is_over = |begun, time| now.duration_since(begun) >= time;
            at_once || (is_over(since, GATHER) && self.logged.is_none_or(|logged| is_over(logged, PAUSE)))
        })
    }

    /// One line for all that were added since the last one. `without` is the number of all containers that have no name now.
    pub(super) fn log(&mut self, engines: &mut Engines, without: usize, now: Instant) {
        let (mut looked, mut closed) = (Vec::new(), Vec::new());
        for (path, is_readable) in engines.directories(now) {
            if is_readable { &mut looked } else { &mut closed }.push(path);
        }
        let unusable = engines.unusable();
        tracing::warn!(
            containers = without.max(self.new),
            new = self.new,
            such_as = %self.shown.join(", "),
            looked_in = %shown(&looked),
            "containers have no name on this node: their readings go out with their ids alone; {}",
            remedy(&closed, &unusable, engines.is_configured()),
        );
        *self = Self {
            logged: Some(now),
            ..Self::default()
        };
    }
}

fn shown(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "no engine's directory was found".to_owned();
    }
    let shown: Vec<_> = paths
        .iter()
        .take(DIRECTORIES)
        .map(|path| path.display().to_string())
        .collect();
    let more = paths.len().saturating_sub(DIRECTORIES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

fn remedy(closed: &[PathBuf], unusable: &[(PathBuf, String)], is_configured: bool) -> String {
    let mut known = Vec::new();
    if !closed.is_empty() {
        let closed = shown(closed);
        known.push(format!(
            "{closed} cannot be read: run as root or with CAP_DAC_READ_SEARCH"
        ));
    }
    if !unusable.is_empty() {
        let files = unusable.iter().take(FILES);
        let files = files.map(|(path, reason)| format!("{} ({reason})", path.display()));
        let files: Vec<_> = files.collect();
        known.push(format!("correct what could not be used: {}", files.join("; ")));
    }
    if !known.is_empty() {
        return known.join("; ");
    }
    let further = if is_configured { "also " } else { "" };
    let name = format!(
        "{further}name the data directory of their engine (Docker's data-root, Podman's graphroot, containerd's state) in \
         attribution.engine_directories, unless looked_in has it"
    );
    if is_in_pod() {
        return format!(
            "mount the host's root, or its /run/containerd (or the engine's data) and /var/log, read-only under host.root; \
             if the engine keeps its data elsewhere, {name}"
        );
    }
    name
}

/// Whether the agent runs in a pod: Kubernetes sets this variable in every container.
fn is_in_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}
