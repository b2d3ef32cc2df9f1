//! Directories that are refused: said once in the log, and again when that changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::refused::Refused;
use super::walk;
use crate::sampler::Finding;

/// The directories that are refused. There are no more than the loader's variable names and the program has built in.
static REFUSED: Mutex<BTreeMap<PathBuf, Reason>> = Mutex::new(BTreeMap::new());

/// Why a directory is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason {
    /// What is at fault: the directory, or one above it.
    at: PathBuf,
    text: String,
}

/// Findings of `source` for `agent doctor`: the directories in which nothing is looked for, as the last look found them.
pub fn explain_refused(source: &'static str) -> Vec<Finding> {
    let mut by_fault = BTreeMap::<PathBuf, (Vec<String>, String)>::new();
    for (path, reason) in refused().iter() {
        let (paths, _) = by_fault
            .entry(reason.at.clone())
            .or_insert_with(|| (Vec::new(), reason.text.clone()));
        paths.push(path.display().to_string());
    }
    let finding = |(paths, why): (Vec<String>, String)| {
        let what = format!("no library or program is looked for in {}: {why}", paths.join(", "));
        Finding::warn(source, what)
    };
    by_fault.into_values().map(finding).collect()
}

/// Whether it is a directory in which nobody else can put anything.
pub(super) fn is_usable(path: &Path) -> bool {
    let found = walk::directory(path);
    let reason = match &found {
        Ok(_) | Err(Refused::Unseen(..)) => None,
        Err(error) => Some(Reason {
            at: error.path().to_owned(),
            text: crate::chain(error),
        }),
    };
    note(path, reason);
    matches!(found, Ok(Some(_)))
}

/// Logs what has changed, once for all directories with the same fault.
fn note(path: &Path, reason: Option<Reason>) {
    let mut refused = refused();
    if refused.get(path) == reason.as_ref() {
        return;
    }
    let before = refused.remove(path);
    let mut others = refused.values();
    match &reason {
        Some(Reason { at, text }) => {
            let is_known = others.any(|other| other.at == *at) && before.is_none();
            if !is_known {
                tracing::warn!(
                    path = %path.display(),
                    why = text,
                    "no library or program is looked for in a directory that others can change"
                );
            }
        }
        None => {
            if before.is_some_and(|before| others.all(|other| other.at != before.at)) {
                tracing::info!(path = %path.display(), "the directory is looked into again: nobody else can change it");
            }
        }
    }
    refused.extend(reason.map(|reason| (path.to_owned(), reason)));
}

fn refused() -> MutexGuard<'static, BTreeMap<PathBuf, Reason>> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner)
}
