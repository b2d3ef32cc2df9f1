//! What a running agent tells `agent doctor` of itself, over a socket in `status.directory`.
//!
//! Each agent has a socket of its own there, `agent-<pid>.sock`, which its own user and root may connect to. It writes one
//! [`Answer`] as JSON to each connection and closes it.

mod answer;
mod client;
mod reloaded;
mod server;

use std::path::{Path, PathBuf};

use crate::cli::BUILD;

pub(crate) use answer::{Answer, DestinationState, Rights, SourceState};
pub(crate) use client::{Asked, ask};
pub(crate) use reloaded::{LastReload, Reloaded};
pub(crate) use server::Socket;

/// Default of `status.directory`.
pub(crate) const DEFAULT_DIRECTORY: &str = "/run/accelscope";

/// The directories in which sockets are: the configured one, and instead of the default one, which is root's, the user's.
pub(crate) fn directories(setting: Option<&Path>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = setting.map(Path::to_owned).into_iter().collect();
    if setting == Some(Path::new(DEFAULT_DIRECTORY))
        && let Some(own) = std::env::var_os("XDG_RUNTIME_DIR")
    {
        all.push(PathBuf::from(own).join("accelscope"));
    }
    all
}

/// Version and revision of this program.
pub(crate) fn build() -> String {
    format!("{} ({})", env!("CARGO_PKG_VERSION"), BUILD.revision)
}
