//! The sections of the sources, each in a type that only its source knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use accelscope_core::settings::{AnySettings, Enabled, Settings};
use accelscope_core::source::{Descriptor, Sources};

/// The settings of each source that is built in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceSettings(BTreeMap<&'static str, Arc<dyn AnySettings>>);

impl SourceSettings {
    /// The defaults of these sources.
    pub fn defaults(sources: Sources) -> Self {
        Self(
            sources
                .iter()
                .map(|source| (source.name, (source.settings.default)()))
                .collect(),
        )
    }

    /// Sets those of a source.
    pub(super) fn set(&mut self, source: &Descriptor, settings: Arc<dyn AnySettings>) {
        self.0.insert(source.name, settings);
    }

    /// Those of a source; its defaults if they were never set.
    pub fn of(&self, source: &Descriptor) -> Arc<dyn AnySettings> {
        self.0.get(source.name).cloned().unwrap_or_else(source.settings.default)
    }

    /// Whether a source runs.
    pub fn enabled(&self, source: &Descriptor) -> Enabled {
        self.of(source).enabled()
    }

    /// Those of the source of that name, if they are of type `S`.
    pub fn get<S: Settings>(&self, name: &str) -> Option<&S> {
        self.0.get(name)?.as_any().downcast_ref()
    }
}
