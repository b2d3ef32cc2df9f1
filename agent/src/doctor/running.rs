//! The agent that runs with the doctor's configuration: what it says of itself counts, since its rights are not the
//! doctor's.

use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::status::{self, Answer, Asked, DestinationState, SourceState};
use accelscope_core::sampler::Finding;

/// What is known of running agents.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The one with this configuration.
    agent: Option<Answer>,
    /// The others.
    others: Asked,
}

impl Running {
    /// Asks.
    pub(super) fn find(config: &Config) -> Self {
        let mut others = status::ask(config.status.directory.as_deref());
        let at = others.answers.iter().position(|answer| answer.is_of(config));
        Self {
            agent: at.map(|at| others.answers.swap_remove(at)),
            others,
        }
    }

    pub(super) const fn is_found(&self) -> bool {
        self.agent.is_some()
    }

    /// The agent itself: its version, rights and configuration.
    pub(super) fn about(&self, config: &Config) -> Vec<Finding> {
        let mut findings: Vec<_> = self.others.silent.iter().map(silent).collect();
        let Some(agent) = &self.agent else {
            findings.push(self.none(config));
            return findings;
        };
        let started = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(agent.started));
        let started = started.unwrap_or(SystemTime::UNIX_EPOCH);
        findings.push(Finding::ok(
            "agent",
            format!(
                "{} runs since {} as pid {} of uid {}, {}, by {}",
                agent.build,
                humantime::format_rfc3339_seconds(started),
                agent.pid,
                agent.uid,
                match agent.capabilities.join(", ") {
                    none if none.is_empty() => "without capabilities".to_owned(),
                    some => format!("with {some}"),
                },
                match &agent.file {
                    Some(path) => path.display().to_string(),
                    None => "defaults and environment".to_owned(),
                },
            ),
        ));
        if let Some(stall) = &agent.stall {
            let what = format!("the processing of readings does not go on: it is {stall}; nothing is measured");
            findings.push(
                Finding::fail("agent", what)
                    .with_remedy("see what hangs (a file system, /proc), or restart the agent and report it"),
            );
        }
        let own = status::build();
        if agent.build != own {
            let what = format!("the running agent is {}, and this doctor {own}", agent.build);
            findings
                .push(Finding::warn("agent", what).with_remedy("restart the agent, or run the doctor of its build"));
        }
        findings
    }

    fn none(&self, config: &Config) -> Finding {
        if config.status.directory.is_none() {
            return Finding::nothing("agent", "a running one cannot be asked: status.directory is empty");
        }
        let own = "none runs with this configuration: what follows is what one would find with this user's rights";
        match self.others.answers.first() {
            None => Finding::nothing("agent", own),
            Some(other) => {
                let file = other.file.as_ref().map(|path| format!(" --config {}", path.display()));
                Finding::nothing("agent", format!("{own}; pid {} runs with another one", other.pid)).with_remedy(
                    format!(
                        "give the doctor that agent's own arguments and environment:{} --set host.root={}",
                        file.unwrap_or_default(),
                        other.host_root.display()
                    ),
                )
            }
        }
    }

    fn source(&self, name: &str) -> Option<&SourceState> {
        self.agent.as_ref()?.sources.iter().find(|source| source.name == name)
    }

    /// What a source of the agent found out about how it reads; nothing where the doctor has to find it out.
    pub(super) fn findings(&self, source: &'static str) -> Vec<Finding> {
        let remarks = self.source(source).map(|state| state.findings.as_slice());
        remarks
            .unwrap_or_default()
            .iter()
            .map(|remark| remark.about(source))
            .collect()
    }

    /// What keeps a source of the agent from reading.
    pub(super) fn trouble(&self, source: &'static str) -> Option<Finding> {
        let state = self.source(source)?;
        if let Some(seconds) = state.overdue_seconds {
            let what = format!("the running agent waits for it, {seconds:.0} s longer than it may take");
            return Some(
                Finding::warn(source, what)
                    .with_remedy("see what hangs: the driver, a file system or the vendor's tool"),
            );
        }
        let failed = state.outcome.as_deref() == Some("retry");
        failed.then(|| {
            Finding::warn(source, format!("the running agent cannot read it: {}", state.detail))
                .with_remedy("the lines above say what is missing; it is tried again by itself")
        })
    }

    /// The state of a destination of the agent.
    ///
    /// Nothing where it pushes elsewhere: its configuration was changed since it read it.
    pub(super) fn destination(&self, name: &str, endpoint: &str) -> Option<Finding> {
        let mut destinations = self.agent.as_ref()?.destinations.iter();
        let state = destinations.find(|state| state.name == name && state.endpoint == endpoint);
        state.map(destination)
    }

    /// The destinations of the agent that are others than the configuration's.
    pub(super) fn outdated(&self, name: &str, endpoint: &str) -> Option<Finding> {
        let mut destinations = self.agent.as_ref()?.destinations.iter();
        let state = destinations.find(|state| state.name == name && state.endpoint != endpoint)?;
        let what = format!(
            "destination {name}: the running agent still pushes to {}",
            state.endpoint
        );
        Some(Finding::warn("otlp", what).with_remedy("reload it (SIGHUP, systemctl reload) or restart it"))
    }
}

fn silent((path, error): &(std::path::PathBuf, std::io::Error)) -> Finding {
    Finding::warn(
        "agent",
        format!("one runs and cannot be asked at {}: {error}", path.display()),
    )
    .with_remedy("run the doctor as root or as the agent's user; if it does not answer, see the agent's log")
}

fn destination(state: &DestinationState) -> Finding {
    let DestinationState {
        name,
        waiting_points,
        sent,
        dropped,
        ..
    } = state;
    let counts = format!("{sent} points arrived, {waiting_points} wait, {dropped} were dropped");
    let error = state.last_error.as_deref().unwrap_or("no answer yet");
    if let Some(reason) = &state.blocked {
        return Finding::warn(
            "otlp",
            format!("destination {name} refuses everything ({reason}): {error}; {counts}"),
        )
        .with_remedy(
            "the agent's log says what to change; nothing is dropped while the queue (otlp.queue_bytes) holds it",
        );
    }
    // One record may be on its way at any time.
    if state.waiting_records > 1 || (*sent == 0 && state.last_error.is_some()) {
        return Finding::warn(
            "otlp",
            format!("destination {name} does not take what is sent: {error}; {counts}"),
        )
        .with_remedy("start the receiver or correct otlp.endpoint; points wait in the queue (otlp.queue_bytes)");
    }
    if *dropped > 0 {
        return Finding::warn(
            "otlp",
            format!("destination {name}: {counts}; the last error was: {error}"),
        )
        .with_remedy("agent.export.dropped says why, by reason");
    }
    Finding::ok("otlp", format!("destination {name}: {counts}"))
}
