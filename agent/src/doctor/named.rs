//! Processes that findings name by their ids: what they run, and in which pod or container.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Attribute, Owner, key};
use accelscope_core::sampler::Finding;
use accelscope_pipeline::attribution::{Attribution, Resolution, Settings};

/// Before the id of a process in a finding ([`Finding::what`]).
const BEFORE: &str = "process ";
/// Leading characters of a container's id that engines show.
const SHORT_ID: usize = 12;

/// Who the processes of this host are.
pub(super) struct Named {
    processes: Processes,
    attribution: Attribution,
}

/// A process in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    /// The name of its executable.
    command: String,
    /// Its pod, or else its container.
    pub(super) place: Option<String>,
}

impl Named {
    /// Reads the names of containers from the engines that are found and those of `attribution.engine_directories`.
    pub(super) fn new(roots: &HostRoots, engine_directories: &[PathBuf]) -> Self {
        let settings = Settings {
            name_timeout: Duration::ZERO,
            engine_directories: engine_directories.to_vec(),
            ..Settings::default()
        };
        Self {
            processes: Processes::new(roots),
            attribution: Attribution::new(roots, settings),
        }
    }

    /// The process with that id in the host's `/proc`; `None` where there is none, or nothing of it may be read.
    pub(super) fn who(&mut self, pid: u32) -> Option<Who> {
        let process = self.processes.user_key(pid).ok()??;
        let owner = Owner::Process {
            process,
            always_pid: false,
        };
        match self.attribution.resolve(&owner, Instant::now()) {
            Resolution::Known(attributes) => Who::of(&attributes),
            Resolution::Wait | Resolution::Unknown => None,
        }
    }

    /// The same, if it was started at that time, in clock ticks since boot.
    pub(super) fn who_since(&mut self, pid: u32, start_ticks: u64) -> Option<Who> {
        let key = self.processes.key(pid).ok()?;
        (key.start_ticks == start_ticks).then(|| self.who(pid))?
    }

    /// Adds to each process that a finding names what it runs and where.
    pub(super) fn complete(&mut self, findings: &mut [Finding]) {
        for finding in findings {
            finding.what = completed(&finding.what, |pid| self.who(pid));
        }
    }
}

impl Who {
    fn of(attributes: &[Attribute]) -> Option<Self> {
        let text = |key: &str| {
            let found = attributes.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| value.to_string())
        };
        let pod = || match (text(key::K8S_NAMESPACE_NAME), text(key::K8S_POD_NAME)) {
            (Some(namespace), Some(name)) => Some(format!("pod {namespace}/{name}")),
            (_, name) => name.or_else(|| text(key::K8S_POD_UID)).map(|pod| format!("pod {pod}")),
        };
        let container = || {
            let id = || text(key::CONTAINER_ID).map(|id| id.chars().take(SHORT_ID).collect());
            let name: Option<String> = text(key::CONTAINER_NAME).or_else(id);
            name.map(|name| format!("container {name}"))
        };
        Some(Self {
            command: text(key::PROCESS_EXECUTABLE_NAME)?,
            place: pod().or_else(container),
        })
    }

    /// As in `4711 (python3, pod default/train-0)`, without the id.
    pub(super) fn in_brackets(&self) -> String {
        match &self.place {
            Some(place) => format!("({}, {place})", self.command),
            None => format!("({})", self.command),
        }
    }
}

/// `text` with each `process 4711`, or `process 4711 (python3)`, as `process 4711 (python3, pod default/train-0)`.
fn completed(text: &str, mut who: impl FnMut(u32) -> Option<Who>) -> String {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(BEFORE) {
        done.push_str(before);
        done.push_str(BEFORE);
        rest = after;
        let is_word = before.chars().next_back().is_none_or(|last| !last.is_alphanumeric());
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Some(who) = after[..digits].parse().ok().filter(|_| is_word).and_then(&mut who) else {
            continue;
        };
        done.push_str(&after[..digits]);
        let more = &after[digits..];
        let named = more.strip_prefix(&format!(" ({})", who.command));
        if named.is_none() && more.starts_with(" (") {
            // It has become another program since.
            rest = more;
            continue;
        }
        done.push(' ');
        done.push_str(&who.in_brackets());
        rest = named.unwrap_or(more);
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(pid: u32) -> Option<Who> {
        let place = match pid {
            7 => Some("pod default/train-0".to_owned()),
            8 => None,
            _ => return None,
        };
        let command = "python3".to_owned();
        Some(Who { command, place })
    }

    #[test]
    fn each_process_has_its_command_and_pod_once() {
        let cases = [
            ("process 7 uses it", "process 7 (python3, pod default/train-0) uses it"),
            (
                "of process 7 (python3): x",
                "of process 7 (python3, pod default/train-0): x",
            ),
            (
                "process 8, process 9 and process 7",
                "process 8 (python3), process 9 and process 7 (python3, pod default/train-0)",
            ),
            ("process 7 (detect) uses it", "process 7 (detect) uses it"),
            (
                "subprocess 7, process 77777777777, process x",
                "subprocess 7, process 77777777777, process x",
            ),
            ("a process ", "a process "),
        ];
        for (text, expected) in cases {
            assert_eq!(completed(text, who), expected);
        }
    }

    #[test]
    fn the_pod_comes_before_the_container_and_names_before_ids() {
        let executable = (key::PROCESS_EXECUTABLE_NAME, "a".into());
        let id = (key::CONTAINER_ID, "0123456789abcdef".into());
        let in_brackets = |more: &[Attribute]| {
            let all = [&[executable.clone(), id.clone()], more].concat();
            Who::of(&all).unwrap().in_brackets()
        };
        assert_eq!(in_brackets(&[]), "(a, container 0123456789ab)");
        assert_eq!(
            in_brackets(&[(key::CONTAINER_NAME, "web".into())]),
            "(a, container web)"
        );
        let uid = (key::K8S_POD_UID, "u-1".into());
        assert_eq!(in_brackets(std::slice::from_ref(&uid)), "(a, pod u-1)");
        let (pod, namespace) = ((key::K8S_POD_NAME, "p".into()), (key::K8S_NAMESPACE_NAME, "n".into()));
        assert_eq!(in_brackets(&[uid, pod, namespace]), "(a, pod n/p)");
    }
}
