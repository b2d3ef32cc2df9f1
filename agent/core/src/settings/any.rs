//! Settings of a source behind a trait object; only the source knows their type.

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
    /// Whether the source is enabled.
    fn enabled(&self) -> Enabled;

    /// Adds to `check` the problems that the types accept: ranges, and keys that contradict one another.
    fn validate(&self, check: &mut Check) {
        let _ = check;
    }
}

/// Object-safe form of [`Settings`].
pub trait AnySettings: Debug + Send + Sync {
    /// Whether the source is enabled.
    fn enabled(&self) -> Enabled;
    /// See [`Settings::validate`].
    fn validate(&self, check: &mut Check);
    /// Access for a downcast to the source's own type.
    fn as_any(&self) -> &dyn Any;
    /// Whether both have the same type and are equal.
    fn is_equal(&self, other: &dyn AnySettings) -> bool;
    /// Serialized form: an object with every key.
    fn to_value(&self) -> serde_json::Value;
}

impl<S: Settings> AnySettings for S {
    fn enabled(&self) -> Enabled {
        Settings::enabled(self)
    }

    fn validate(&self, check: &mut Check) {
        Settings::validate(self, check);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_equal(&self, other: &dyn AnySettings) -> bool {
        other.as_any().downcast_ref::<S>() == Some(self)
    }

    fn to_value(&self) -> serde_json::Value {
        // Serialization fails only for maps with keys that are no text, and a struct has none.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl PartialEq for dyn AnySettings {
    fn eq(&self, other: &Self) -> bool {
        self.is_equal(other)
    }
}

/// A type of [`Settings`] as a value.
#[derive(Debug, Clone, Copy)]
pub struct SettingsType {
    /// Documentation of its keys.
    pub documentation: SectionDocumentation,
    /// Its default.
    pub default: fn() -> Arc<dyn AnySettings>,
    /// Deserializes it; unknown keys are ignored.
    pub deserialize: fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<Arc<dyn AnySettings>, erased_serde::Error>,
}

impl SettingsType {
    /// Descriptor of the type `S`.
    pub const fn of<S: Settings>() -> Self {
        Self {
            documentation: S::DOCUMENTATION,
            default: || Arc::new(S::default()),
            deserialize: |deserializer| Ok(Arc::new(erased_serde::deserialize::<S>(deserializer)?)),
        }
    }
}
