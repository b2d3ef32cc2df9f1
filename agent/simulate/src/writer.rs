//! One writing process.

use std::io::{self, BufRead as _, Read as _};
use std::time::{Duration, Instant};

use prost::Message as _;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::error::SimulateError;
use super::file::MonitorFile;
use super::load::Load;
use super::options::Options;
use accelscope_core::host::poll;

/// The arguments with which the simulator starts its own executable as a writer; [`writer_main`] serves them.
pub const WRITER_ARGS: [&str; 2] = ["simulate", "hailo-writer"];

/// Longest assignment that is read; a real one is a few hundred bytes and a path.
const ASSIGNMENT: u64 = 64 * 1024;

/// Assignment of a writer, one line of JSON on its standard input.
#[derive(Serialize, Deserialize)]
pub(super) struct Assignment {
    pub(super) options: Options,
    /// Which of the processes, counted from 0.
    pub(super) process: u32,
}

/// The process behind [`WRITER_ARGS`]: reads its assignment from standard input and writes its monitor file once per
/// interval until that input ends, as it does when the simulator exits or is killed.
///
/// Signals keep their default effect, as in an application: a killed writer leaves its file behind.
pub fn writer_main() -> Result<(), SimulateError> {
    // A stopped process does not notice that its input ended; with this it goes on and ends when its parent is gone.
    set_parent_process_death_signal(Some(Signal::CONT))
        .map_err(|error| SimulateError::system("cannot ask for a signal at the parent's death")(error.into()))?;
    let mut line = String::new();
    let read = io::stdin().lock().take(ASSIGNMENT).read_line(&mut line);
    read.map_err(SimulateError::system("cannot read the assignment from standard input"))?;
    let Assignment { options, process } = serde_json::from_str(&line).map_err(SimulateError::Assignment)?;
    options.check()?;

    let pid = std::process::id();
    let file = MonitorFile::create(&options.dir, pid, options.write_mode)?;
    let load = Load {
        options: &options,
        process,
    };
    let mut failing = false;
    // The runtime waits first: nothing can be read during the first interval.
    for tick in 0.. {
        if input_ended_within(options.interval)? {
            break;
        }
        // As the runtime does: log, and try again after the next interval.
        match file.write(&load.at(pid, tick).encode_to_vec()) {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                let (dir, remedy) = (options.dir.display(), remedy(&error));
                tracing::warn!(%dir, %error, "cannot write the monitor file; {remedy}");
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock => "a reader holds its lock, which no reader should take",
        io::ErrorKind::NotFound => "the directory was removed, and only --write-mode rename brings it back",
        _ => "it is tried again at every interval",
    }
}

/// Waits; true as soon as the other end of standard input is closed.
fn input_ended_within(interval: Duration) -> Result<bool, SimulateError> {
    let stdin = io::stdin();
    let mut ended = [PollFd::new(&stdin, PollFlags::IN)];
    poll::wait(&mut ended, Some(Instant::now() + interval))
        .map_err(SimulateError::system("cannot wait for the next write"))
}
