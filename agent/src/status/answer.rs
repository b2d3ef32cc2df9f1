//! The answer of a running agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use accelscope_core::sampler::{Finding, Level};
use accelscope_export::otlp;
use accelscope_pipeline::Status;

/// A running agent, as it sees itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Its build.
    pub(crate) build: String,
    /// Its process id, as it sees it.
    pub(crate) pid: u32,
    /// Its effective user.
    pub(crate) uid: u32,
    /// Its effective capabilities.
    pub(crate) capabilities: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub(crate) started: u64,
    /// The configuration file that it read.
    pub(crate) file: Option<PathBuf>,
    /// `host.root`.
    pub(crate) host_root: PathBuf,
    /// The addresses at which it listens, with their keys.
    pub(crate) listeners: Vec<(String, SocketAddr)>,
    /// What the processing of readings is at, where it does not go on.
    #[serde(default)]
    pub(crate) stall: Option<String>,
    /// Its sources.
    pub(crate) sources: Vec<SourceState>,
    /// Its destinations.
    pub(crate) destinations: Vec<DestinationState>,
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

/// A [`Finding`] of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remark {
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
    /// Why it refuses everything, while it does.
    pub(crate) blocked: Option<String>,
}

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
    /// Of this process, as yet without the states of its sources and destinations.
    pub(super) fn of_this_process(config: &Config, file: Option<PathBuf>) -> Self {
        let effective = rustix::thread::capabilities(None).map(|sets| sets.effective);
        let effective = effective.unwrap_or(CapabilitySet::empty());
        let has = |(capability, _): &&(CapabilitySet, &str)| effective.contains(*capability);
        let listeners = config.listeners().into_iter();
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            build: super::build(),
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            capabilities: CAPABILITIES
                .iter()
                .filter(has)
                .map(|(_, name)| (*name).to_owned())
                .collect(),
            started: started.unwrap_or(Duration::ZERO).as_secs(),
            file,
            host_root: config.host.root.clone(),
            listeners: listeners.map(|(key, address)| (key.to_owned(), address)).collect(),
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
}

impl SourceState {
    pub(super) fn of(status: &Status) -> Self {
        let last = status.last();
        Self {
            name: status.descriptor.name.to_owned(),
            outcome: last.as_ref().map(|last| last.outcome.to_owned()),
            detail: last.map(|last| last.detail).unwrap_or_default(),
            overdue_seconds: status.stuck().map(|over| over.as_secs_f64()),
            findings: status.findings().into_iter().map(Remark::of).collect(),
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
            blocked: state.blocked.map(str::to_owned),
        }
    }
}

impl Remark {
    fn of(finding: Finding) -> Self {
        Self {
            level: finding.level,
            what: finding.what,
            remedy: finding.remedy,
        }
    }

    /// As a finding about that source.
    pub(crate) fn about(&self, source: &'static str) -> Finding {
        Finding {
            remedy: self.remedy.clone(),
            ..Finding::new(self.level, source, &*self.what)
        }
    }
}
