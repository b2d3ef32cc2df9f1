//! Configuration of a worker process: JSON in a variable of its environment. The agent writes it, and so does a worker
//! for its successor.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::own;
use super::suspension::Suspensions;

/// Name of the variable.
pub(super) const VARIABLE: &str = "ACCELSCOPE_WORKER_CONFIG";

/// Configuration of a worker. `T` is the library's part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerConfig<T> {
    /// Root directory of the host's files.
    pub root: PathBuf,
    /// Part of the id of a device without an id of its own.
    pub node_name: String,
    /// Time between two requests.
    pub period: Duration,
    /// Time limit of a request in the worker. Shorter than the agent's deadline, so that the readings until then are
    /// returned.
    pub patience: Duration,
    /// Duration of the first suspension after a hang or crash.
    pub first_suspension: Duration,
    /// Suspensions of the preceding processes.
    pub suspensions: Suspensions,
    /// The library's part.
    pub library: T,
}

impl<T: Serialize + DeserializeOwned> WorkerConfig<T> {
    /// The command that starts the worker `name` with this configuration.
    pub fn command(&self, program: &Path, name: &str) -> io::Result<Command> {
        let mut command = own::command(program);
        command
            .args(["worker", name])
            .env(VARIABLE, serde_json::to_string(self)?);
        Ok(command)
    }

    /// Configuration of this process. Fails if a person started it, since only the agent writes one.
    pub(super) fn inherited() -> io::Result<Self> {
        let Some(text) = std::env::var_os(VARIABLE) else {
            let message = format!("{VARIABLE} is not set: this command is for the agent itself");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        Ok(serde_json::from_str(&text.to_string_lossy())?)
    }

    /// JSON for [`Reply::renewal`](super::Reply::renewal) and [`Reply::successor`](super::Reply::successor).
    pub fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}
