//! SIGHUP: the configuration is read again, and what can change in a running agent changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use accelscope_core::chain;
use accelscope_core::source::Sources;
use accelscope_export::otlp::{Destination, Exporter, verify};
use tokio::task::{JoinHandle, spawn_blocking};

use super::log;
use crate::config::{Config, ConfigFile, Inputs, Loaded, destination_key, flat, is_read_once, load};
use crate::status::LastReload;

/// The running configuration, and where it came from.
pub struct Reload {
    inputs: Inputs,
    sources: Sources,
    running: Config,
    file: Option<PathBuf>,
    /// The reading that a signal has asked for.
    reading: Option<JoinHandle<Read>>,
    /// Whether another signal came meanwhile.
    is_asked_again: bool,
    /// The outcome, for `agent doctor`.
    last: LastReload,
}

/// A valid configuration with files that can be used, or what is wrong.
pub(super) type Read = Result<(Loaded, Vec<Destination>), Vec<String>>;

impl Reload {
    /// `running` is what `inputs` gave at the start, with the file that was read.
    pub fn new(mut inputs: Inputs, sources: Sources, running: Config, file: Option<PathBuf>) -> Self {
        // An editor may be replacing it: without it, or with nothing in it, all of it would be the defaults.
        if let Some(path) = &file {
            inputs.file = ConfigFile::Filled(path.clone());
        }
        Self {
            inputs,
            sources,
            running,
            file,
            reading: None,
            is_asked_again: false,
            last: LastReload::default(),
        }
    }

    /// The file that was read at the start.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// The outcome of the last reload, now and later.
    pub(super) fn last(&self) -> LastReload {
        self.last.clone()
    }

    /// Begins to read the configuration and all files of credentials again, on a thread of its own: their file systems may not
    /// answer.
    pub(super) fn begin(&mut self) {
        if let Some(path) = self.file.as_deref().filter(|path| is_read_once(path)) {
            let error = format!(
                "{} was read at the start and is empty since; name a file",
                path.display()
            );
            tracing::error!("not reloaded, the running configuration is kept: {error}");
            self.last.refused([error]);
        } else if self.reading.is_some() {
            self.is_asked_again = true;
        } else {
            let (inputs, sources) = (self.inputs.clone(), self.sources);
            self.reading = Some(spawn_blocking(move || read(&inputs, sources)));
        }
    }

    /// What was read, once it was.
    pub(super) async fn done(&mut self) -> Read {
        let Some(reading) = &mut self.reading else {
            return std::future::pending().await;
        };
        let read = reading.await;
        self.reading = None;
        if std::mem::take(&mut self.is_asked_again) {
            self.begin();
        }
        read.unwrap_or_else(|panic| Err(vec![panic.to_string()]))
    }

    /// Changes what can change in a running agent. The new configuration if it is valid; the old one goes on otherwise, and the
    /// log has the reason.
    pub(super) fn apply(&mut self, read: Read, exporter: Option<&Exporter>) -> Option<(&Config, Vec<Destination>)> {
        let (Loaded { config, warnings, .. }, destinations) = match read {
            Ok(read) => read,
            Err(errors) => {
                for error in &errors {
                    tracing::error!("not reloaded, the running configuration is kept: {error}");
                }
                self.last.refused(errors);
                return None;
            }
        };
        if let Some(exporter) = exporter {
            exporter.revise(&destinations);
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        log::set_level(config.log.level);
        let restart = self.needs_restart(&config, &destinations);
        if restart.is_empty() {
            tracing::info!("reloaded: configuration and credentials were read again");
        } else {
            tracing::warn!(
                "reloaded, but for what needs a restart of the agent: {}",
                restart.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            );
        }
        self.last.taken(restart);
        // What was not applied stays as it runs, so that the next signal names it again.
        self.running.log.level = config.log.level;
        self.running.otlp.interval = config.otlp.interval;
        Some((&self.running, destinations))
    }

    /// Keys whose values differ from the running ones and are read at the start alone.
    fn needs_restart(&self, new: &Config, destinations: &[Destination]) -> BTreeSet<String> {
        let mut keys: BTreeSet<String> = values(&self.running, self.sources)
            .symmetric_difference(&values(new, self.sources))
            .map(|(key, _)| key.clone())
            .filter(|key| key != "log.level" && !key.starts_with("otlp."))
            .collect();
        let old = self.running.destinations();
        for (these, those) in [(&old[..], destinations), (destinations, &old)] {
            for one in these {
                match those.iter().find(|other| other.name == one.name) {
                    None => drop(keys.insert(destination_key(&one.name, "enabled"))),
                    Some(other) if other.queue_bytes != one.queue_bytes => {
                        keys.insert(destination_key(&one.name, "queue_bytes"));
                    }
                    Some(_) => {}
                }
            }
        }
        keys
    }
}

/// Reads the configuration and the files of its destinations.
fn read(inputs: &Inputs, sources: Sources) -> Read {
    let loaded =
        load(inputs, sources).map_err(|errors| errors.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let destinations = loaded.config.destinations();
    verify(&destinations).map_err(|error| vec![chain(&error)])?;
    Ok((loaded, destinations))
}

/// Each key with its value.
fn values(config: &Config, sources: Sources) -> BTreeSet<(String, String)> {
    let whole = config.to_value(sources);
    flat(&whole)
        .into_iter()
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}
