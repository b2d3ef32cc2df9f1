//! A file system that answers until it is told not to: FUSE, served by the test. A request that its server has read and does not
//! answer cannot be ended by a signal (`request_wait_answer`, fs/fuse/dev.c). As root.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Operations (`enum fuse_opcode`, include/uapi/linux/fuse.h).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
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
const ROOT: u64 = 1;
/// Bytes of the head of a request.
const HEAD: usize = 40;

/// A mounted directory with files in it.
pub(crate) struct Served {
    at: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<Vec<(String, Vec<u8>)>>,
    is_silent: AtomicBool,
    has_ended: AtomicBool,
    /// Requests that are not answered.
    unanswered: Mutex<usize>,
}

impl Served {
    /// None, with a word to whoever reads the tests' output, where nothing can be mounted.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        let mounted = || -> std::io::Result<File> {
            let device = File::options().read(true).write(true).open("/dev/fuse")?;
            let options = format!(
                "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
                device.as_raw_fd()
            );
            let options = std::ffi::CString::new(options)?;
            mount("served", at, "fuse", MountFlags::empty(), Some(options.as_c_str()))?;
            Ok(device)
        };
        let device = match mounted() {
            Ok(device) => device,
            Err(error) => {
                skip_test::skip("fuse", &error.to_string());
                return None;
            }
        };
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        Some(Self {
            at: at.to_owned(),
            shared,
            server: Some(std::thread::spawn(move || serving.serve(device))),
        })
    }

    /// Puts a file there.
    pub(crate) fn put(&self, name: &str, content: &str) -> PathBuf {
        let mut files = self.shared.files.lock().unwrap();
        match files.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = content.as_bytes().to_vec(),
            None => files.push((name.to_owned(), content.as_bytes().to_vec())),
        }
        self.at.join(name)
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
        *self.shared.unanswered.lock().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
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
        self.0.has_ended.store(true, Ordering::SeqCst);
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
    fn serve(&self, mut device: File) {
        let mut request = vec![0; 1 << 18];
        while !self.has_ended.load(Ordering::SeqCst) {
            let mut files = [PollFd::new(&device, PollFlags::IN)];
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            if !matches!(poll(&mut files, Some(&patience)), Ok(1..)) {
                continue;
            }
            let Ok(length) = device.read(&mut request) else {
                continue;
            };
            let request = &request[..length];
            let operation = u32_at(request, 4);
            if matches!(operation, FORGET | BATCH_FORGET | INTERRUPT) {
                continue;
            }
            if self.is_silent.load(Ordering::SeqCst) && operation != INIT {
                *self.unanswered.lock().unwrap() += 1;
                continue;
            }
            let (error, body) = match self.answer(operation, request) {
                Ok(body) => (0, body),
                Err(error) => (-error, Vec::new()),
            };
            let mut reply = Vec::new();
            reply.extend((16 + body.len() as u32).to_ne_bytes());
            reply.extend(error.to_ne_bytes());
            reply.extend(&request[8..16]);
            reply.extend(body);
            device.write_all(&reply).ok();
        }
    }

    fn answer(&self, operation: u32, request: &[u8]) -> Result<Vec<u8>, i32> {
        let node = u64_at(request, 16);
        let files = self.files.lock().unwrap();
        let content = |node: u64| {
            let at = usize::try_from(node.checked_sub(ROOT + 1)?).ok()?;
            files.get(at).map(|(_, content)| content.as_slice())
        };
        match operation {
            INIT => {
                let mut body = Vec::new();
                for word in [7_u32, 31, 0, 0, (12 << 16) | 16, 1 << 17, 1, 0] {
                    body.extend(word.to_ne_bytes());
                }
                body.resize(64, 0);
                Ok(body)
            }
            LOOKUP => {
                let name = &request[HEAD..request.len() - 1];
                let at = files
                    .iter()
                    .position(|(known, _)| known.as_bytes() == name)
                    .ok_or(ENOENT)?;
                let node = ROOT + 1 + at as u64;
                let mut body = node.to_ne_bytes().to_vec();
                // Nothing of it is kept: each look asks again.
                body.resize(40, 0);
                body.extend(attributes(node, content(node)));
                Ok(body)
            }
            GETATTR => {
                let mut body = vec![0; 16];
                body.extend(attributes(node, content(node)));
                Ok(body)
            }
            // Read past the cache (FOPEN_DIRECT_IO).
            OPEN => Ok([0_u64, 1].map(u64::to_ne_bytes).concat()),
            OPENDIR => Ok(vec![0; 16]),
            READ => {
                let content = content(node).ok_or(ENOENT)?;
                let from = usize::try_from(u64_at(request, HEAD + 8)).unwrap().min(content.len());
                let most = u32_at(request, HEAD + 16) as usize;
                Ok(content[from..].iter().take(most).copied().collect())
            }
            READDIR | RELEASE | RELEASEDIR | FLUSH => Ok(Vec::new()),
            _ => Err(ENOSYS),
        }
    }
}

/// `struct fuse_attr` of a file, or of the directory.
fn attributes(node: u64, content: Option<&[u8]>) -> Vec<u8> {
    let size = content.map_or(0, <[u8]>::len) as u64;
    let mut body: Vec<u8> = [node, size, 0, 0, 0, 0]
        .into_iter()
        .flat_map(u64::to_ne_bytes)
        .collect();
    let mode: u32 = if content.is_some() { 0o100_644 } else { 0o040_755 };
    for word in [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        body.extend(word.to_ne_bytes());
    }
    body
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
