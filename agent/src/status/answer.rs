//! The answer of a running agent.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Reloaded;
use crate::config::{Config, is_read_once};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::sampler::{Finding, Level};
use accelscope_core::source::Sources;
use accelscope_export::otlp;
use accelscope_pipeline::Status;

/// A running agent, as it sees itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Its build.
    pub(crate) build: String,
    /// Its process id, as it sees it.
    pub(crate) pid: u32,
    /// When it was started, in clock ticks since boot: which process of that id it is.
    #[serde(default)]
    pub(crate) start_ticks: Option<u64>,
    /// What it may do.
    #[serde(flatten)]
    pub(crate) rights: Rights,
    /// When it was started, in seconds since 1970.
    pub(crate) started: u64,
    /// The configuration file that it read, with its whole path.
    pub(crate) file: Option<PathBuf>,
    /// How it last read its configuration again; nothing where it has not.
    #[serde(default)]
    pub(crate) reloaded: Option<Reloaded>,
    /// `host.root`.
    pub(crate) host_root: PathBuf,
    /// The addresses at which it listens, with their keys.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    /// Its settings by section, those of its sources among them: what it read at its start and holds to. Not its log, its
    /// destinations, which it reads again at a reload, and its resource.
    #[serde(default)]
    pub(crate) settings: Value,
    /// What it found out about the host, and about files that it needs.
    #[serde(default)]
    pub(crate) findings: Vec<Remark>,
    /// What the processing of readings is at, where it does not go on.
    #[serde(default)]
    pub(crate) stall: Option<String>,
    /// Its sources.
    pub(crate) sources: Vec<SourceState>,
    /// Its destinations.
    pub(crate) destinations: Vec<DestinationState>,
}

/// What a process may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rights {
    /// Its effective user.
    pub(crate) uid: u32,
    /// Its effective capabilities, of those that the agent has a use for.
    pub(crate) capabilities: Vec<String>,
}

/// State of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SourceState {
    /// Its name.
    pub(crate) name: String,
    /// How its last run ended (`agent.outcome`); nothing before the first.
    pub(crate) outcome: Option<String>,
    /// The reason or error of that; empty where there were readings.
    pub(crate) detail: String,
    /// How long the current run is over its deadline.
    pub(crate) overdue_seconds: Option<f64>,
    /// What it found out.
    pub(crate) findings: Vec<Remark>,
}

/// A [`Finding`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remark {
    #[serde(default)]
    about: String,
    level: Level,
    what: String,
    remedy: Option<String>,
}

/// State of a destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DestinationState {
    /// Its name.
    pub(crate) name: String,
    /// Where it is, as a person may see it.
    pub(crate) endpoint: String,
    /// Points that wait.
    pub(crate) waiting_points: u64,
    /// Records that wait.
    pub(crate) waiting_records: usize,
    /// Points that arrived.
    pub(crate) sent: u64,
    /// Points that were dropped.
    pub(crate) dropped: u64,
    /// Error of the last request that failed.
    pub(crate) last_error: Option<String>,
    /// What helps against that.
    #[serde(default)]
    pub(crate) last_remedy: Option<String>,
    /// Whether the last request failed.
    #[serde(default)]
    pub(crate) is_failing: bool,
    /// What the receiver said with a success that was a partial one or that it warned of.
    #[serde(default)]
    pub(crate) last_warning: Option<String>,
    /// Why it refuses everything, while it does.
    pub(crate) blocked: Option<String>,
}

/// Sections of the configuration that are no part of an answer's settings.
const NOT_SETTINGS: [&str; 3] = ["log", "otlp", "resource"];

/// The capabilities that the agent has a use for, by their names.
const CAPABILITIES: [(CapabilitySet, &str); 6] = [
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
];

impl Answer {
    /// Of this process, as yet without what it found out and the states of its sources and destinations.
    pub(super) fn of_this_process(config: &Config, sources: Sources, file: Option<PathBuf>) -> Self {
        let mut settings = config.to_value(sources);
        if let Value::Object(sections) = &mut settings {
            sections.retain(|name, _| !NOT_SETTINGS.contains(&name.as_str()));
        }
        let listeners = config.listeners().into_iter();
        let pid = std::process::id();
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            build: super::build(),
            pid,
            start_ticks: Processes::new(&HostRoots::new("/"))
                .key(pid)
                .ok()
                .map(|key| key.start_ticks),
            rights: Rights::of_this_process(),
            started: started.unwrap_or(Duration::ZERO).as_secs(),
            file: file.map(|path| whole_path(&path)),
            reloaded: None,
            host_root: config.host.root.clone(),
            listeners: listeners.map(|(key, address)| (key.to_owned(), address)).collect(),
            settings,
            findings: Vec::new(),
            stall: None,
            sources: Vec::new(),
            destinations: Vec::new(),
        }
    }

    /// Whether it does what an agent with this configuration would do, as far as that decides what it sees.
    pub(crate) fn is_of(&self, config: &Config) -> bool {
        let listeners = config.listeners().into_iter();
        let same = listeners.map(|(key, address)| (key.to_owned(), address));
        self.host_root == config.host.root && same.eq(self.listeners.iter().cloned())
    }

    /// Whether it read that file at its start.
    pub(crate) fn has_read(&self, file: &Path) -> bool {
        self.file.as_ref() == Some(&whole_path(file))
    }
}

/// The path from the root, by which another process knows the file too. A pipe has none.
fn whole_path(file: &Path) -> PathBuf {
    if is_read_once(file) {
        return file.to_owned();
    }
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

impl Rights {
    /// Of this process.
    pub(crate) fn of_this_process() -> Self {
        let effective = rustix::thread::capabilities(None).map(|sets| sets.effective);
        let effective = effective.unwrap_or(CapabilitySet::empty());
        let has = |(capability, _): &&(CapabilitySet, &str)| effective.contains(*capability);
        let names = CAPABILITIES.iter().filter(has).map(|(_, name)| (*name).to_owned());
        Self {
            uid: rustix::process::geteuid().as_raw(),
            capabilities: names.collect(),
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}, ", self.uid)?;
        match self.capabilities.join(", ") {
            none if none.is_empty() => f.write_str("without capabilities"),
            some => write!(f, "with {some}"),
        }
    }
}

impl SourceState {
    /// `explained` is what was found out about its source just now, which a sampler's own findings come before.
    pub(super) fn of(status: &Status, explained: &[Finding]) -> Self {
        let last = status.last();
        let name = status.descriptor.name;
        let own = status.findings();
        let findings = if own.is_empty() {
            explained
                .iter()
                .filter(|finding| finding.about == name)
                .map(Remark::of)
                .collect()
        } else {
            own.iter().map(Remark::of).collect()
        };
        Self {
            name: name.to_owned(),
            outcome: last.as_ref().map(|last| last.outcome.to_owned()),
            detail: last.map(|last| last.detail).unwrap_or_default(),
            overdue_seconds: status.stuck().map(|over| over.as_secs_f64()),
            findings,
        }
    }
}

impl DestinationState {
    pub(super) fn of(state: otlp::DestinationState) -> Self {
        Self {
            name: state.name,
            endpoint: state.endpoint,
            waiting_points: state.waiting.points,
            waiting_records: state.waiting.records,
            sent: state.totals.sent,
            dropped: state.totals.dropped,
            last_error: state.last_error,
            last_remedy: state.last_remedy.map(str::to_owned),
            is_failing: state.is_failing,
            last_warning: state.last_warning,
            blocked: state.blocked.map(str::to_owned),
        }
    }
}

impl Remark {
    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            about: finding.about.to_owned(),
            level: finding.level,
            what: finding.what.clone(),
            remedy: finding.remedy.clone(),
        }
    }

    /// As a finding about that subject.
    pub(crate) fn about(&self, subject: &'static str) -> Finding {
        Finding {
            remedy: self.remedy.clone(),
            ..Finding::new(self.level, subject, &*self.what)
        }
    }

    /// As a finding, if it is about one of these subjects.
    pub(crate) fn about_one_of(&self, subjects: &[&'static str]) -> Option<Finding> {
        let subject = subjects.iter().find(|subject| **subject == self.about)?;
        Some(self.about(subject))
    }
}
