//! What a running agent tells `agent doctor` of itself, over a socket in `status.directory`.
//!
//! Each agent has a socket of its own there, `agent-<pid>.sock`, which its own user and root may connect to. It reads a [`Request`]
//! from each connection, writes one [`Answer`] as JSON and closes it.

mod answer;
mod client;
mod reloaded;
mod server;

use std::path::{Path, PathBuf};

use crate::cli::BUILD;

pub(crate) use answer::{Answer, DestinationState, Rights, SourceState};
pub(crate) use client::{Asked, Known, ask};
pub(crate) use reloaded::{LastReload, Reloaded};
pub(crate) use server::Socket;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    /// What the agent knows.
    Brief,
    /// Also what it finds out about its host, which it has to look at for that.
    Full,
}

impl Request {
    /// Longest of them in bytes.
    const MAX_BYTES: u64 = 16;

    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Brief => b"brief\n",
            Self::Full => b"full\n",
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        if bytes == Self::Full.as_bytes() {
            Self::Full
        } else {
            Self::Brief
        }
    }
}

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
