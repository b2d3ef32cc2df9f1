//! Sections of the sources, each of a type that only its source knows.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use accelscope_core::settings::{AnySettings, Enabled, Settings};
use accelscope_core::source::{Descriptor, Sources};

/// Settings of each built-in source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceSettings(BTreeMap<&'static str, Arc<dyn AnySettings>>);

impl SourceSettings {
    /// Defaults of these sources.
    pub fn defaults(sources: Sources) -> Self {
        Self(
            sources
                .iter()
                .map(|source| (source.name, (source.settings.default)()))
                .collect(),
        )
    }

    /// Sets the settings of a source.
    pub(crate) fn set(&mut self, source: &Descriptor, settings: Arc<dyn AnySettings>) {
        self.0.insert(source.name, settings);
    }

    /// Settings of a source; its defaults if they were never set.
    pub fn of(&self, source: &Descriptor) -> Arc<dyn AnySettings> {
        self.0.get(source.name).cloned().unwrap_or_else(source.settings.default)
    }

    /// Whether a source is enabled.
    pub fn enabled(&self, source: &Descriptor) -> Enabled {
        self.of(source).enabled()
    }

    /// Settings of the source of that name, if they have the type `S`.
    pub fn get<S: Settings>(&self, name: &str) -> Option<&S> {
        let settings: &dyn Any = &**self.0.get(name)?;
        settings.downcast_ref()
    }
}
