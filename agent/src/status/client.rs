//! Asks the agents that run on this machine.

use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::answer::Answer;
use super::directories;

/// Time for a running agent to answer: it may be in the middle of a collection, and looks at its host first.
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

/// Asks every agent whose socket is in `status.directory`.
pub(crate) fn ask(setting: Option<&Path>) -> Asked {
    let mut asked = Asked::default();
    let directories = directories(setting);
    let entries = directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(Iterator::flatten);
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sock");
    for path in entries.map(|entry| entry.path()).filter(is_socket).take(MOST) {
        match answer(&path) {
            Ok(answer) => asked.answers.push(answer),
            // Left behind by an agent that was killed.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(error) => asked.silent.push((path, error)),
        }
    }
    asked
}

fn answer(path: &Path) -> io::Result<Answer> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWERING))?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}
