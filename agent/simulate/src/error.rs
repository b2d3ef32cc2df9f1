//! Why a simulation could not start or had to end.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a simulation could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A number out of its range.
    #[error("--{option} is {value}, but must be {allowed}")]
    Option {
        /// The flag's name.
        option: &'static str,
        /// The given value.
        value: String,
        /// The values it can have.
        allowed: String,
    },
    /// The directory of the monitor files is not there and cannot be created.
    #[error("cannot create the directory {path}; choose another with --dir", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The directory exists, but no file can be created in it: it usually belongs to the user who came first.
    #[error("cannot create a file in {path}; choose another directory with --dir", path = path.display())]
    Placeholder {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A writer is this program once more, and it could not be started.
    #[error("cannot start a writer process")]
    Spawn(#[source] io::Error),
    /// A writer failed; the reason is on its standard error.
    #[error("writer {pid} failed with {status}")]
    Writer {
        /// The writer's process id.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
    },
    /// All were killed from outside, so nothing writes any more.
    #[error("no writer process is left; start the simulator again, or with --kill-some to replace killed ones")]
    NoneLeft,
    /// A writer process was started without the simulator, whose assignment it needs.
    #[error("a writer is started by `agent simulate hailo`, not by hand")]
    Assignment(#[source] serde_json::Error),
    /// A system call failed that usually works: of a signal handler, a pipe, a wait.
    #[error("{what}")]
    System {
        /// The failed action.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
}

impl SimulateError {
    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
