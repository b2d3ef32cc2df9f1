//! SIGHUP: the configuration is read again, and what can change in a running agent changes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use accelscope_core::chain;
use accelscope_core::source::Sources;
use accelscope_export::otlp::{Destination, Exporter};

use super::log;
use crate::config::{Config, ConfigFile, Inputs, Loaded, flat, is_read_once, load};

/// The running configuration, and where it came from.
pub struct Reload {
    inputs: Inputs,
    sources: Sources,
    running: Config,
    file: Option<PathBuf>,
}

impl Reload {
    /// `running` is what `inputs` gave at the start, with the file that was read.
    pub fn new(mut inputs: Inputs, sources: Sources, running: Config, file: Option<PathBuf>) -> Self {
        // An editor may be replacing it: without it, all of it would be the defaults.
        if let Some(path) = &file {
            inputs.file = ConfigFile::Required(path.clone());
        }
        Self {
            inputs,
            sources,
            running,
            file,
        }
    }

    /// The file that was read at the start.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// Reads the configuration and all files of credentials again. The new configuration if it is valid; the old one goes on
    /// otherwise, and the log says why.
    pub(super) async fn apply(&mut self, exporter: Option<&Exporter>) -> Option<&Config> {
        if let Some(path) = self.file.as_deref().filter(|path| is_read_once(path)) {
            tracing::error!(
                "not reloaded, the running configuration is kept: {} was read at the start and is empty since; name a file",
                path.display()
            );
            return None;
        }
        let (inputs, sources) = (self.inputs.clone(), self.sources);
        let read = tokio::task::spawn_blocking(move || load(&inputs, sources)).await.ok()?;
        let Loaded { config, warnings, .. } = match read {
            Ok(loaded) => loaded,
            Err(errors) => {
                for error in &errors.0 {
                    tracing::error!("not reloaded, the running configuration is kept: {error}");
                }
                return None;
            }
        };
        let destinations = config.destinations();
        if let Some(exporter) = exporter
            && let Err(error) = exporter.revise(&destinations)
        {
            tracing::error!("not reloaded, the running configuration is kept: {}", chain(&error));
            return None;
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        log::set_level(config.log.level);
        let restart = self.needs_restart(&config, &destinations, exporter.is_some());
        if restart.is_empty() {
            tracing::info!("reloaded: configuration and credentials were read again");
        } else {
            tracing::warn!(
                "reloaded, but for what needs a restart of the agent: {}",
                restart.into_iter().collect::<Vec<_>>().join(", ")
            );
        }
        // What was not applied stays as it runs, so that the next signal names it again.
        self.running.log.level = config.log.level;
        self.running.otlp.interval = config.otlp.interval;
        Some(&self.running)
    }

    /// Keys whose values differ from the running ones and are read at the start alone.
    fn needs_restart(&self, new: &Config, destinations: &[Destination], pushes: bool) -> BTreeSet<String> {
        let mut keys: BTreeSet<String> = values(&self.running, self.sources)
            .symmetric_difference(&values(new, self.sources))
            .map(|(key, _)| key.clone())
            .filter(|key| key != "log.level" && !key.starts_with("otlp."))
            .collect();
        let shape =
            |all: &[Destination]| -> Vec<_> { all.iter().map(|one| (one.name.clone(), one.queue_bytes)).collect() };
        let old = self.running.destinations();
        let names = |all: &[Destination]| all.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        if names(&old) != names(destinations) {
            keys.insert("otlp.enabled, otlp.destinations".to_owned());
        } else if shape(&old) != shape(destinations) {
            keys.insert("otlp.queue_bytes".to_owned());
        }
        if !pushes && !destinations.is_empty() {
            keys.insert("otlp.enabled, otlp.destinations".to_owned());
        }
        keys
    }
}

/// Each key with its value.
fn values(config: &Config, sources: Sources) -> BTreeSet<(String, String)> {
    let whole = config.to_value(sources);
    flat(&whole)
        .into_iter()
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}
