//! The agent that runs with the doctor's configuration: its own answer counts, since its rights are not the doctor's.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::named::Named;
use crate::config::{Config, flat};
use crate::status::{self, Answer, Asked, DestinationState, Known, Reloaded, Rights, SourceState};
use accelscope_core::sampler::Finding;
use accelscope_core::settings::Enabled;
use accelscope_core::source::Sources;

/// Most settings that are named in one line.
const MOST_NAMED: usize = 6;
/// Findings of the agent that are not its sources' ([`of_this_process`](super::of_this_process)).
const SUBJECTS: [&str; 4] = ["host.root", "attribution", "http", "compat"];

/// What is known of running agents.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// The one with this configuration, or the only one that has read the same file, which may have changed since.
    agent: Option<Answer>,
    /// The others.
    others: Asked,
}

impl Running {
    /// Asks. `file` is the one that the doctor has read.
    pub(super) fn find(config: &Config, file: Option<&Path>) -> Self {
        let mut others = status::ask(config.status.directory.as_deref());
        let at = others.known.iter().position(|known| known.answer.is_of(config));
        let at = at.or_else(|| {
            let has_read = |known: &Known| file.is_some_and(|file| known.answer.has_read(file));
            let mut readers = (0..).zip(&others.known).filter(|(_, known)| has_read(known));
            // Of several it is not known which one is meant.
            readers.next().filter(|_| readers.next().is_none()).map(|(at, _)| at)
        });
        let agent = at.map(|at| {
            let (answer, silent) = others.known.swap_remove(at).in_full();
            others.silent.extend(silent);
            answer
        });
        Self { agent, others }
    }

    pub(super) const fn is_found(&self) -> bool {
        self.agent.is_some()
    }

    /// Whether it listens at this port, on whatever address: one of all addresses cannot be had beside one of a single one.
    pub(super) fn listens_at(&self, port: u16) -> bool {
        let mut listeners = self.agent.iter().flat_map(|agent| &agent.listeners);
        listeners.any(|(_, address)| address.port() == port)
    }

    /// The agent itself: its version, rights and configuration.
    ///
    /// `effective` is `config` with the [agent's own settings](Self::adopt_settings).
    pub(super) fn about(
        &self,
        config: &Config,
        effective: &Config,
        sources: Sources,
        named: &mut Named,
    ) -> Vec<Finding> {
        let mut findings: Vec<_> = self.others.silent.iter().map(silent).collect();
        let Some(agent) = &self.agent else {
            findings.push(self.none(config, named));
            return findings;
        };
        findings.push(Finding::ok(
            "agent",
            format!(
                "{} runs since {} as {} of {}, by {}",
                agent.build,
                humantime::format_rfc3339_seconds(since_1970(agent.started)),
                process(agent, named),
                agent.rights,
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
        findings.extend(agent.reloaded.as_ref().and_then(reloaded));
        findings.extend(settings(agent, config, sources));
        findings.extend(self.rights(effective, sources));
        findings
    }

    /// What this doctor has to find out itself, where its rights are not the agent's.
    fn rights(&self, config: &Config, sources: Sources) -> Option<Finding> {
        let own = Rights::of_this_process();
        let agent = self.agent.as_ref().filter(|agent| agent.rights != own)?;
        let is_asked_here = |name: &&'static str| self.findings(name).is_empty();
        let enabled = sources
            .iter()
            .filter(|source| config.sources.enabled(source) != Enabled::False);
        let asked_here: Vec<_> = enabled
            .map(|source| source.name)
            .filter(|name| is_asked_here(name))
            .collect();
        let what = format!(
            "this doctor has other rights ({own}) and examines with them: {}",
            asked_here.join(", ")
        );
        (!asked_here.is_empty()).then(|| {
            Finding::nothing("agent", what).with_remedy(format!(
                "for what the agent may see of these, run the doctor as uid {} with the agent's capabilities",
                agent.rights.uid
            ))
        })
    }

    /// The agent's own settings of its sources in `config`, by which they are examined.
    pub(super) fn adopt_settings(&self, config: &mut Config, sources: Sources) {
        let Some(agent) = &self.agent else { return };
        for source in sources {
            let Some(settings) = agent.settings.get(source.name) else {
                continue;
            };
            let mut settings = <dyn erased_serde::Deserializer<'_>>::erase(settings);
            // Of another build, whose settings cannot be read here.
            let Ok(settings) = (source.settings.deserialize)(&mut settings) else {
                continue;
            };
            config.sources.set(source, settings);
        }
    }

    /// What the agent found out about the host and files; nothing where the doctor has to find it out.
    pub(super) fn own_findings(&self) -> Vec<Finding> {
        let remarks = self.agent.iter().flat_map(|agent| &agent.findings);
        remarks.filter_map(|remark| remark.about_one_of(&SUBJECTS)).collect()
    }

    fn none(&self, config: &Config, named: &mut Named) -> Finding {
        if config.status.directory.is_none() {
            return Finding::nothing("agent", "a running one cannot be asked: status.directory is empty");
        }
        let own = "none runs with this configuration: what follows is what one would find with this user's rights";
        match self.others.known.first() {
            None => Finding::nothing("agent", own),
            Some(Known { answer: other, .. }) => {
                let file = other.file.as_ref().map(|path| format!(" --config {}", path.display()));
                let other_one = process(other, named);
                Finding::nothing("agent", format!("{own}; {other_one} runs with another one")).with_remedy(format!(
                    "give the doctor that agent's own arguments and environment:{} --set host.root={}",
                    file.unwrap_or_default(),
                    other.host_root.display()
                ))
            }
        }
    }

    fn source(&self, name: &str) -> Option<&SourceState> {
        self.agent.as_ref()?.sources.iter().find(|source| source.name == name)
    }

    /// What a source of the agent found out; nothing where the doctor has to find it out.
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

    /// Where the agent pushes to, and how that goes.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &DestinationState> {
        self.agent.iter().flat_map(|agent| &agent.destinations)
    }

    /// The same of the destination of that name.
    pub(super) fn destination(&self, name: &str) -> Option<&DestinationState> {
        self.destinations().find(|state| state.name == name)
    }
}

/// Its process id, with command and pod where it is a process of the host's `/proc`.
fn process(agent: &Answer, named: &mut Named) -> String {
    let who = agent.start_ticks.and_then(|start| named.who_since(agent.pid, start));
    let in_brackets = who.map_or_else(String::new, |who| format!(" {}", who.in_brackets()));
    format!("pid {}{in_brackets}", agent.pid)
}

/// What of the configuration is not in effect since it was read again.
fn reloaded(last: &Reloaded) -> Option<Finding> {
    let at = humantime::format_rfc3339_seconds(since_1970(last.at));
    if !last.refused.is_empty() {
        let what = format!(
            "the configuration that was read again at {at} was not taken, and the one before goes on: {}",
            last.refused.join("; ")
        );
        return Some(Finding::warn("agent", what).with_remedy("correct it, and reload it once more (SIGHUP)"));
    }
    (!last.restart.is_empty()).then(|| {
        let what = format!(
            "the configuration was read again at {at}, but for what needs a restart of the agent: {}",
            listed(&last.restart)
        );
        Finding::warn("agent", what).with_remedy("restart the agent")
    })
}

/// Some of them, with the number of the others.
fn listed(all: &[String]) -> String {
    let shown = all.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(MOST_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn since_1970(seconds: u64) -> SystemTime {
    let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    then.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The settings of an agent that are others than this configuration's.
fn settings(agent: &Answer, config: &Config, sources: Sources) -> Option<Finding> {
    let own = config.to_value(sources);
    let own = flat(&own);
    let differing = |(key, value): (String, &Value)| {
        let here = own.get(&key).filter(|here| **here != value)?;
        Some(format!("{key} = {value} (here {here})"))
    };
    let all: Vec<String> = flat(&agent.settings).into_iter().filter_map(differing).collect();
    (!all.is_empty()).then(|| {
        let shown = listed(&all);
        let what = format!("the running agent has other settings, which its sources are examined by: {shown}");
        Finding::warn("agent", what).with_remedy(
            "restart the agent if they were changed since its start; else give the doctor the agent's own arguments and \
             environment",
        )
    })
}

fn silent((path, error): &(std::path::PathBuf, std::io::Error)) -> Finding {
    Finding::warn(
        "agent",
        format!("one runs and cannot be asked at {}: {error}", path.display()),
    )
    .with_remedy("run the doctor as root or as the agent's user; if it does not answer, see the agent's log")
}
