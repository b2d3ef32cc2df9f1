//! Asks the agents that run on this machine.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use accelscope_core::host::callers::Callers;
use rustix::net::sockopt::socket_peercred;

use super::answer::Answer;
use super::{DEFAULT_DIRECTORY, Request, directories};

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
    pub(crate) known: Vec<Known>,
    /// Sockets whose agent lives and did not answer, with the reason.
    pub(crate) silent: Vec<(PathBuf, io::Error)>,
}

/// An agent that answered.
#[derive(Debug)]
pub(crate) struct Known {
    /// What it is, without what it finds out for the doctor that asks for all.
    pub(crate) answer: Answer,
    socket: PathBuf,
    trusted: Trusted,
}

impl Known {
    /// Its whole answer. Where it does not give it, what is known, and why.
    pub(crate) fn in_full(self) -> (Answer, Option<(PathBuf, io::Error)>) {
        let (callers, until) = (Callers::rare("status", 1), Instant::now() + ANSWERING);
        let (socket, trusted) = (self.socket.clone(), self.trusted);
        let call = callers.start(move || answer(&socket, trusted, Request::Full));
        match call.and_then(|call| call.wait(until).unwrap_or_else(|| Err(late()))) {
            Ok(answer) => (answer, None),
            Err(error) => (self.answer, Some((self.socket, error))),
        }
    }
}

/// Asks every agent that has its socket in `status.directory`, all at once: one that hangs costs the others nothing. Also those
/// in the default directory, which an agent has that was started before the setting was changed.
pub(crate) fn ask(setting: Option<&Path>) -> Asked {
    let (mut asked, mut earlier) = (Asked::default(), Asked::default());
    let until = Instant::now() + ANSWERING;
    let callers = Callers::rare("status", MOST + 1);
    let configured = directories(setting);
    for directory in &configured {
        asked.directory(directory, &callers, until);
    }
    let default = directories(Some(Path::new(DEFAULT_DIRECTORY)));
    for directory in default.iter().filter(|directory| !configured.contains(directory)) {
        earlier.directory(directory, &callers, until);
    }
    // Others there are none of this configuration's concern.
    asked.known.append(&mut earlier.known);
    asked
}

impl Asked {
    fn directory(&mut self, directory: &Path, callers: &Callers, until: Instant) {
        let place = directory.to_owned();
        let found = callers.start(move || sockets(&place)).map(|call| call.wait(until));
        match found {
            Ok(Some(found)) => self.all(found, callers, until),
            Ok(None) => self.silent.push((directory.to_owned(), late())),
            Err(error) => self.silent.push((directory.to_owned(), error)),
        }
    }

    fn all(&mut self, sockets: Vec<(PathBuf, Trusted)>, callers: &Callers, until: Instant) {
        let call = |(socket, trusted): (PathBuf, Trusted)| {
            let asks = socket.clone();
            let call = callers.start(move || answer(&asks, trusted, Request::Brief));
            (socket, trusted, call)
        };
        let calls: Vec<_> = sockets.into_iter().map(call).collect();
        for (socket, trusted, call) in calls {
            let answered = call.and_then(|call| call.wait(until).unwrap_or_else(|| Err(late())));
            match answered {
                Ok(answer) => self.known.push(Known {
                    answer,
                    socket,
                    trusted,
                }),
                // Left behind by an agent that was killed.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
                Err(error) => self.silent.push((socket, error)),
            }
        }
    }
}

fn late() -> io::Error {
    let what = format!("no answer within {}", humantime::format_duration(ANSWERING));
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// Users whose agents this doctor takes the word of: root, this one, and the directory's.
type Trusted = [u32; 3];

/// The sockets in a directory that are of a trusted user.
fn sockets(directory: &Path) -> Vec<(PathBuf, Trusted)> {
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
    let paths = entries.map(|entry| entry.path()).filter(is_agents).take(MOST);
    paths.map(|path| (path, trusted)).collect()
}

fn answer(path: &Path, trusted: Trusted, request: Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    // Where others may write to the directory, another socket may be there by now. Its owner was settled when it began to listen.
    let user = socket_peercred(&stream)?.uid.as_raw();
    if !trusted.contains(&user) {
        let what = format!("user {user} answers, who is not to be believed; remove it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    }
    stream.set_read_timeout(Some(ANSWERING))?;
    stream.write_all(request.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_listens_is_believed_or_not_whatever_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent-1.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let refused = answer(&path, [own + 1; 3], Request::Brief).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        // It is asked, and answers nothing.
        let asked = std::thread::spawn(move || answer(&path, [own; 3], Request::Brief).unwrap_err().kind());
        for _ in 0..2 {
            drop(listener.accept().unwrap());
        }
        assert_ne!(asked.join().unwrap(), io::ErrorKind::PermissionDenied);
    }
}
