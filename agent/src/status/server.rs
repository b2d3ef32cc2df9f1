//! The socket of a running agent.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::answer::{Answer, DestinationState, Remark, SourceState};
use super::{LastReload, Request, directories};
use crate::config::Config;
use accelscope_core::sampler::Finding;
use accelscope_core::source::Sources;
use accelscope_export::otlp::Exporter;
use accelscope_pipeline::{SeriesRegistry, Status};

/// Time for a client to write its request, and to read the answer.
const CLIENT: Duration = Duration::from_secs(2);
/// Most clients at one time; the next ones wait.
const CLIENTS: usize = 16;
/// Time to find out about the host; what is not found out by then, the doctor finds out itself.
const LOOKING: Duration = Duration::from_secs(15);
/// Most clients that wait to be accepted; others are refused.
const BACKLOG: i32 = 64;
/// Pause after the kernel refused a connection, for want of descriptors mostly.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket that answers. Its file is removed when it is dropped.
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
    answer: Answer,
    look: Look,
}

/// Finds out about host and files, with the rights of this process.
pub(crate) type Look = Arc<dyn Fn() -> Vec<Finding> + Send + Sync>;

impl Socket {
    /// In the first directory of `status.directory` that permits it. The directory is made if it does not exist.
    ///
    /// `look` is called for each full answer, on a thread where it may block.
    pub(crate) fn open(
        config: &Config,
        sources: Sources,
        file: Option<PathBuf>,
        look: Look,
    ) -> io::Result<Option<Self>> {
        let mut refused = None;
        for directory in directories(config.status.directory.as_deref()) {
            match bind(&directory) {
                Ok((path, listener)) => {
                    return Ok(Some(Self {
                        path,
                        listener,
                        answer: Answer::of_this_process(config, sources, file),
                        look,
                    }));
                }
                Err(error) => refused = refused.or(Some(io::Error::new(error.kind(), named(&directory, &error)))),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(
        self,
        statuses: Vec<Arc<Status>>,
        registry: Arc<SeriesRegistry>,
        exporter: Option<Exporter>,
        reload: LastReload,
    ) {
        let agent = Arc::new(Agent {
            answer: self.answer.clone(),
            look: self.look.clone(),
            looking: Mutex::default(),
            statuses,
            registry,
            exporter,
            reload,
        });
        let clients = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // It is never closed.
            let Ok(client) = Arc::clone(&clients).acquire_owned().await else {
                return;
            };
            let agent = Arc::clone(&agent);
            tokio::spawn(async move {
                agent.answer(stream).await;
                drop(client);
            });
        }
    }
}

/// What answers are made of.
struct Agent {
    answer: Answer,
    look: Look,
    /// A look that takes too long.
    looking: Mutex<Option<JoinHandle<Vec<Finding>>>>,
    statuses: Vec<Arc<Status>>,
    registry: Arc<SeriesRegistry>,
    exporter: Option<Exporter>,
    reload: LastReload,
}

impl Agent {
    async fn answer(&self, mut stream: UnixStream) {
        let found = match request(&mut stream).await {
            Request::Brief => Vec::new(),
            Request::Full => self.found().await,
        };
        let is_of_source = |finding: &&Finding| {
            let mut statuses = self.statuses.iter();
            statuses.any(|status| status.descriptor.name == finding.about)
        };
        let others = found.iter().filter(|finding| !is_of_source(finding));
        let states = self.exporter.iter().flat_map(Exporter::states);
        let answer = Answer {
            findings: others.map(Remark::of).collect(),
            sources: self
                .statuses
                .iter()
                .map(|status| SourceState::of(status, &found))
                .collect(),
            reloaded: self.reload.get(),
            stall: self.registry.stall().map(|stall| stall.to_string()),
            destinations: states.map(DestinationState::of).collect(),
            ..self.answer.clone()
        };
        // Texts and numbers can always be serialized.
        let Ok(bytes) = serde_json::to_vec(&answer) else { return };
        // A client that went away or does not read wants no answer.
        tokio::time::timeout(CLIENT, stream.write_all(&bytes)).await.ok();
    }

    /// Result of `look`; nothing where it takes too long. Of one that hangs no second is started.
    async fn found(&self) -> Vec<Finding> {
        let mut looking = self.looking.lock().await;
        let mut started = looking.take().unwrap_or_else(|| {
            let look = self.look.clone();
            tokio::task::spawn_blocking(move || look())
        });
        if let Ok(found) = tokio::time::timeout(LOOKING, &mut started).await {
            return found.unwrap_or_default();
        }
        *looking = Some(started);
        Vec::new()
    }
}

/// What a client asks for; the least if it does not say so.
async fn request(stream: &mut UnixStream) -> Request {
    let mut bytes = Vec::new();
    let mut read = stream.take(Request::MAX_BYTES);
    tokio::time::timeout(CLIENT, read.read_to_end(&mut bytes)).await.ok();
    Request::from_bytes(&bytes)
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Gone already, or the next agent's cleaning removes it.
        fs::remove_file(&self.path).ok();
    }
}

fn named(directory: &Path, error: &io::Error) -> String {
    format!("{}: {error}", directory.display())
}

fn bind(directory: &Path) -> io::Result<(PathBuf, UnixListener)> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    remove_abandoned(directory);
    let path = directory.join(format!("agent-{}.sock", std::process::id()));
    // Of an earlier process with this id: in a container it is mostly 1.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = listen(&path)?;
    Ok((path, listener))
}

/// A listener that this user and root may connect to from its first moment on. Its mode is that of the socket when it is bound
/// (`unix_bind_bsd` in net/unix/af_unix.c): afterwards another user of the directory could have put a link in its place.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Removes the sockets of processes that no longer exist: those that were killed.
fn remove_abandoned(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix("agent-")?.strip_suffix(".sock")?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another agent may have been faster, and one of another user's is left.
            fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// There is no moment at which the file has another mode, nor a later call that could meet another file.
    #[tokio::test]
    async fn a_socket_is_its_users_alone_from_the_moment_that_it_is_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent-1.sock");
        let _listener = listen(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
