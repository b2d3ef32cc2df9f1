//! How the running agent's configuration was last read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Most errors that are kept, and most characters of each: the log has them all.
const MOST_ERRORS: usize = 5;
const MOST_CHARACTERS: usize = 400;

/// The outcome of a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    /// Keys that have new values, which a restart puts into effect.
    pub(crate) restart: Vec<String>,
    /// Why the new configuration was not taken; empty where it was.
    pub(crate) refused: Vec<String>,
}

/// The last one, if any, shared by who reloads and who answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastReload(Arc<Mutex<Option<Reloaded>>>);

impl LastReload {
    /// It was taken, but for these keys.
    pub(crate) fn taken(&self, restart: impl IntoIterator<Item = String>) {
        self.set(Reloaded {
            restart: restart.into_iter().collect(),
            ..Reloaded::default()
        });
    }

    /// It was not taken.
    pub(crate) fn refused(&self, errors: impl IntoIterator<Item = String>) {
        let errors = errors.into_iter().take(MOST_ERRORS);
        self.set(Reloaded {
            refused: errors
                .map(|error| error.chars().take(MOST_CHARACTERS).collect())
                .collect(),
            ..Reloaded::default()
        });
    }

    fn set(&self, outcome: Reloaded) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let at = now.unwrap_or_default().as_secs();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reloaded { at, ..outcome });
    }

    pub(crate) fn get(&self) -> Option<Reloaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
