//! Settings of a source whose type only the source knows.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Check, Documented, Enabled, SectionDocumentation};

/// The settings of a source, declared with [`settings!`](crate::settings!).
pub trait Settings:
    Documented + Serialize + DeserializeOwned + Default + Debug + Clone + PartialEq + Send + Sync + 'static
{
    /// Whether the source runs.
    fn enabled(&self) -> Enabled;

    /// Adds to `check` what the types cannot refuse: ranges, and keys that contradict one another.
    fn validate(&self, check: &mut Check) {
        let _ = check;
    }
}

/// [`Settings`] behind one type.
pub trait AnySettings: Any + Debug + Send + Sync {
    /// Whether the source runs.
    fn enabled(&self) -> Enabled;
    /// As [`Settings::validate`].
    fn validate(&self, check: &mut Check);
    /// As serde serializes it: an object with every key.
    fn to_value(&self) -> serde_json::Value;
}

impl<S: Settings> AnySettings for S {
    fn enabled(&self) -> Enabled {
        Settings::enabled(self)
    }

    fn validate(&self, check: &mut Check) {
        Settings::validate(self, check);
    }

    fn to_value(&self) -> serde_json::Value {
        // Only a map with keys that are no text could fail, and a struct has none.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Equal if each key is. Configurations keep settings by their source, so that both are of one type.
impl PartialEq for dyn AnySettings {
    fn eq(&self, other: &Self) -> bool {
        self.to_value() == other.to_value()
    }
}

/// Reads settings; keys that their type does not name are ignored.
pub type Deserialize = fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<Arc<dyn AnySettings>, erased_serde::Error>;

/// A type of [`Settings`] as a value.
#[derive(Debug, Clone, Copy)]
pub struct SettingsType {
    /// Documentation of its keys.
    pub documentation: SectionDocumentation,
    /// Its default.
    pub default: fn() -> Arc<dyn AnySettings>,
    /// Reads it.
    pub deserialize: Deserialize,
}

impl SettingsType {
    /// Of `S`.
    pub const fn of<S: Settings>() -> Self {
        Self {
            documentation: S::DOCUMENTATION,
            default: || Arc::new(S::default()),
            deserialize: |deserializer| Ok(Arc::new(erased_serde::deserialize::<S>(deserializer)?)),
        }
    }
}
