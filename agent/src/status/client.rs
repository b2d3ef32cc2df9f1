//! Asks the agents that run on this machine.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use accelscope_core::host::callers::Callers;

use super::answer::Answer;
use super::directories;

/// Time for all running agents to answer: one may be in the middle of a collection, and looks at its host first.
const ANSWERING: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Most sockets that are asked.
const MOST: usize = 64;

/// The agents of this machine.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Those that answered.
    pub(crate) answers: Vec<Answer>,
    /// Sockets whose agent lives and did not answer, with the reason.
    pub(crate) silent: Vec<(PathBuf, io::Error)>,
}

/// Asks every agent whose socket is in `status.directory`, all at once: one that hangs costs the others nothing.
pub(crate) fn ask(setting: Option<&Path>) -> Asked {
    let mut asked = Asked::default();
    let until = Instant::now() + ANSWERING;
    let callers = Callers::rare("status", MOST + 1);
    for directory in directories(setting) {
        let place = directory.clone();
        let found = callers.start(move || sockets(&directory)).map(|call| call.wait(until));
        match found {
            Ok(Some(found)) => asked.all(found, &callers, until),
            Ok(None) => asked.silent.push((place, late())),
            Err(error) => asked.silent.push((place, error)),
        }
    }
    asked
}

impl Asked {
    fn all(&mut self, sockets: Vec<PathBuf>, callers: &Callers, until: Instant) {
        let call = |path: PathBuf| {
            let asks = path.clone();
            (path, callers.start(move || answer(&asks)))
        };
        let calls: Vec<_> = sockets.into_iter().map(call).collect();
        for (path, call) in calls {
            let answered = call.and_then(|call| call.wait(until).unwrap_or_else(|| Err(late())));
            match answered {
                Ok(answer) => self.answers.push(answer),
                // Left behind by an agent that was killed.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
                Err(error) => self.silent.push((path, error)),
            }
        }
    }
}

fn late() -> io::Error {
    let what = format!("no answer within {}", humantime::format_duration(ANSWERING));
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// The sockets in a directory. One of a user who is neither root, nor this one, nor the directory's is not an agent's that this
/// doctor should believe.
fn sockets(directory: &Path) -> Vec<PathBuf> {
    let Ok(owner) = fs::metadata(directory).map(|found| found.uid()) else {
        return Vec::new();
    };
    let trusted = [0, rustix::process::geteuid().as_raw(), owner];
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_agents = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "sock")
            && fs::symlink_metadata(path)
                .is_ok_and(|found| found.file_type().is_socket() && trusted.contains(&found.uid()))
    };
    entries.map(|entry| entry.path()).filter(is_agents).take(MOST).collect()
}

fn answer(path: &Path) -> io::Result<Answer> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWERING))?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}
