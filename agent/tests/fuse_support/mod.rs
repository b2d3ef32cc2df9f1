//! A FUSE file system of one directory, served by a thread of the test (`include/uapi/linux/fuse.h`, protocol 7.31): its files are of
//! whom the test says, and it answers until it is told not to. A request that its server has read and does not answer cannot be
//! ended by a signal (`request_wait_answer`, fs/fuse/dev.c). Needs root.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Operations (`enum fuse_opcode`).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// Node of the directory; those of the files follow.
const DIRECTORY: u64 = 1;
/// Bytes of the head of a request.
const HEAD: usize = 40;
/// Kind of a regular file in the entry of a directory.
const REGULAR: u32 = 8;

/// What the program says of a file.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
}

/// Mounted at a directory until it is dropped.
pub(crate) struct Fuse {
    at: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    files: Mutex<Vec<Served>>,
    written: Duration,
    is_silent: AtomicBool,
    /// Requests that are not answered.
    unanswered: AtomicUsize,
    /// The server ends when this is shut down.
    end: UnixStream,
}

impl Fuse {
    /// As if `user` had mounted it. `None`, with a word to whoever reads the tests' output, where nothing can be mounted.
    pub(crate) fn mount(at: &Path, user: u32) -> Option<Self> {
        let mounted = || -> io::Result<File> {
            let device = File::options().read(true).write(true).open("/dev/fuse")?;
            let fd = device.as_raw_fd();
            let options = format!("fd={fd},rootmode=40000,user_id={user},group_id=0,allow_other");
            let options = CString::new(options)?;
            let kind = "fuse.accelscope-test";
            mount("test", at, kind, MountFlags::empty(), Some(options.as_c_str()))?;
            Ok(device)
        };
        let device = match mounted() {
            Ok(device) => device,
            Err(error) => {
                skip_test::skip("fuse", &error.to_string());
                return None;
            }
        };
        let (end, ends) = UnixStream::pair().unwrap();
        let shared = Arc::new(Shared {
            files: Mutex::default(),
            written: SystemTime::now().duration_since(UNIX_EPOCH).unwrap(),
            is_silent: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
            end,
        });
        let serving = shared.clone();
        Some(Self {
            at: at.to_owned(),
            shared,
            server: Some(std::thread::spawn(move || serving.serve(device, &ends))),
        })
    }

    /// The same with a file.
    pub(crate) fn with(at: &Path, user: u32, served: Served) -> Option<Self> {
        let fuse = Self::mount(at, user)?;
        fuse.serve(served);
        Some(fuse)
    }

    /// Puts a file there, in the place of one with that name.
    pub(crate) fn serve(&self, served: Served) -> PathBuf {
        let path = self.at.join(&served.name);
        let mut files = self.shared.files.lock().unwrap();
        match files.iter_mut().find(|known| known.name == served.name) {
            Some(known) => *known = served,
            None => files.push(served),
        }
        path
    }

    /// Puts a file of root's there.
    pub(crate) fn put(&self, name: &str, content: &str) -> PathBuf {
        self.serve(Served {
            name: name.to_owned(),
            content: content.into(),
            mode: 0o644,
            owner: 0,
        })
    }

    /// From now on requests are read and not answered.
    pub(crate) fn hang(&self) {
        self.shared.is_silent.store(true, Ordering::SeqCst);
    }

    /// What ends it.
    pub(crate) fn end(&self) -> End {
        End(self.shared.clone())
    }

    /// Requests that were not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.shared.unanswered.load(Ordering::SeqCst)
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        drop(self.end());
        // Without its server all requests fail.
        if let Some(server) = self.server.take() {
            server.join().ok();
        }
        unmount(&self.at, UnmountFlags::DETACH).ok();
    }
}

/// Ends what serves the files when it is dropped: all requests fail, and who waits for an answer goes on.
pub(crate) struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end.shutdown(Shutdown::Both).ok();
    }
}

/// A thread of the process that cannot be killed, if there is one.
pub(crate) fn hanging(pid: u32) -> Option<()> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut states = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    states
        .any(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D')))
        .then_some(())
}

impl Shared {
    fn serve(&self, mut device: File, ends: &UnixStream) {
        let mut request = vec![0; 1 << 18];
        loop {
            let mut files = [PollFd::new(&device, PollFlags::IN), PollFd::new(ends, PollFlags::IN)];
            poll(&mut files, None).unwrap();
            if !files[1].revents().is_empty() {
                return;
            }
            // A request may have been given up, and without the mount there are no more.
            let length = match device.read(&mut request) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => return,
                Err(_) => continue,
            };
            let request = &request[..length];
            let operation = word(request, 4);
            if matches!(operation, FORGET | BATCH_FORGET | INTERRUPT) {
                continue;
            }
            if self.is_silent.load(Ordering::SeqCst) && operation != INIT {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let (error, body) = match self.answer(operation, long(request, 16), &request[HEAD..]) {
                Ok(body) => (0, body),
                Err(error) => (-error, Vec::new()),
            };
            let mut reply = (16 + body.len() as u32).to_ne_bytes().to_vec();
            reply.extend(error.to_ne_bytes());
            reply.extend(&request[8..16]);
            reply.extend(body);
            device.write_all(&reply).ok();
        }
    }

    fn answer(&self, operation: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        let files = self.files.lock().unwrap();
        let file = |node: u64| {
            let at = usize::try_from(node.checked_sub(DIRECTORY + 1)?).ok()?;
            files.get(at)
        };
        match operation {
            INIT => {
                let mut reply = Vec::new();
                for value in [7_u32, 31, 0, 0, (12 << 16) | 16, 1 << 17, 1, 0] {
                    reply.extend(value.to_ne_bytes());
                }
                reply.resize(64, 0);
                Ok(reply)
            }
            LOOKUP => {
                let is_asked = |file: &Served| body.strip_suffix(&[0]) == Some(file.name.as_bytes());
                let at = files.iter().position(is_asked).ok_or(ENOENT)?;
                let node = DIRECTORY + 1 + at as u64;
                let mut reply = node.to_ne_bytes().to_vec();
                // Nothing of it is kept: each look asks again.
                reply.resize(40, 0);
                reply.extend(self.attributes(node, file(node)));
                Ok(reply)
            }
            GETATTR => {
                let mut reply = vec![0; 16];
                reply.extend(self.attributes(node, file(node)));
                Ok(reply)
            }
            // Read past the cache (FOPEN_DIRECT_IO), but for what others may write to, so that they may map it.
            OPEN => {
                let is_cached = file(node).is_some_and(|file| file.mode & 0o002 != 0);
                Ok([0_u64, u64::from(!is_cached)].map(u64::to_ne_bytes).concat())
            }
            OPENDIR => Ok(vec![0; 16]),
            READ => {
                let content = &file(node).ok_or(ENOENT)?.content;
                let rest = content.get(long(body, 8) as usize..).unwrap_or_default();
                let size = (word(body, 16) as usize).min(rest.len());
                Ok(rest[..size].to_vec())
            }
            READDIR => {
                let (offset, most) = (long(body, 8) as usize, word(body, 16) as usize);
                let mut reply = Vec::new();
                for (at, file) in files.iter().enumerate().skip(offset) {
                    let mut entry = (DIRECTORY + 1 + at as u64).to_ne_bytes().to_vec();
                    entry.extend((at as u64 + 1).to_ne_bytes());
                    entry.extend((file.name.len() as u32).to_ne_bytes());
                    entry.extend(REGULAR.to_ne_bytes());
                    entry.extend(file.name.as_bytes());
                    entry.resize(entry.len().next_multiple_of(8), 0);
                    if reply.len() + entry.len() > most {
                        break;
                    }
                    reply.extend(entry);
                }
                Ok(reply)
            }
            STATFS => Ok(vec![0; 80]),
            RELEASE | RELEASEDIR | FLUSH => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }

    /// `struct fuse_attr` of a file, or of the directory.
    fn attributes(&self, node: u64, file: Option<&Served>) -> Vec<u8> {
        let (seconds, nanos) = (self.written.as_secs(), self.written.subsec_nanos());
        let (size, mode, owner) = match file {
            Some(file) => (file.content.len() as u64, 0o100_000 | file.mode, file.owner),
            None => (0, 0o40755, 0),
        };
        let mut found = Vec::new();
        for value in [node, size, 1, seconds, seconds, seconds] {
            found.extend(value.to_ne_bytes());
        }
        for value in [nanos, nanos, nanos, mode, 1, owner, 0, 0, 4096, 0] {
            found.extend(value.to_ne_bytes());
        }
        found
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
