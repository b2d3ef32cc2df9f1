//! State that outlives a worker's process, in shared memory (`memfd_create(2)`), for the next process even if this one
//! crashes.
//!
//! The memory is the agent's, which never reads it: only the next process of the same worker does.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// Environment variable of a worker: path of the memory.
const VARIABLE: &str = "ACCELSCOPE_WORKER_HANDOVER";
/// Bytes of the mark, and of the whole.
const MARK: usize = 256;
const SIZE: usize = 32 << 10;

/// The agent's side.
#[derive(Debug)]
pub(super) struct HandoverMemory(OwnedFd);

impl HandoverMemory {
    /// Creates it with a fixed size: a worker cannot make the agent hold more.
    pub(super) fn new() -> io::Result<Self> {
        let memory = memfd_create("worker", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&memory, SIZE as u64)?;
        fcntl_add_seals(&memory, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(memory))
    }

    /// Environment variable with which a worker finds it.
    pub(super) fn variable(&self) -> (&'static str, String) {
        // Opened by path, no other program that the agent starts inherits it.
        let path = format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        (VARIABLE, path)
    }
}

/// The worker's side: a short mark, which costs one system call, and a longer text.
#[derive(Debug)]
pub(super) struct Handover(File);

impl Handover {
    /// Memory of this process, if it is a worker and may open it.
    pub(super) fn inherited() -> Option<Self> {
        let path = std::env::var_os(VARIABLE)?;
        match File::options().read(true).write(true).open(&path) {
            Ok(file) => Some(Self(file)),
            Err(error) => {
                tracing::debug!(%error, "a crash of this worker will not be known to the next one");
                None
            }
        }
    }

    /// Replaces the mark; a mark longer than 256 bytes is dropped.
    pub(super) fn mark(&self, text: &str) {
        let mut bytes = [0; MARK];
        if let Some(to) = bytes.get_mut(..text.len()) {
            to.copy_from_slice(text.as_bytes());
        }
        // Memory of a fixed size: a write cannot fail.
        self.0.write_all_at(&bytes, 0).ok();
    }

    /// The mark; empty if there is none.
    pub(super) fn marked(&self) -> String {
        self.text(0, MARK)
    }

    /// Replaces the text. Returns false, and keeps the old one, if it does not fit.
    pub(super) fn store(&self, text: &str) -> bool {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.len() >= SIZE - MARK {
            return false;
        }
        bytes.push(0);
        self.0.write_all_at(&bytes, MARK as u64).is_ok()
    }

    /// The text; empty if there is none.
    pub(super) fn stored(&self) -> String {
        self.text(MARK, SIZE - MARK)
    }

    fn text(&self, at: usize, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact_at(&mut bytes, at as u64).ok();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_leaves_the_next_one_finds_and_no_more_than_fits() {
        let memory = HandoverMemory::new().unwrap();
        let open = || {
            let file = File::options().read(true).write(true).open(memory.variable().1);
            Handover(file.unwrap())
        };
        let first = open();
        assert_eq!((first.marked(), first.stored()), (String::new(), String::new()));
        first.mark("a longer mark");
        first.mark("mark");
        assert!(first.store("a text"));
        assert!(!first.store(&"x".repeat(SIZE)));
        drop(first);
        let next = open();
        assert_eq!((next.marked().as_str(), next.stored().as_str()), ("mark", "a text"));
        next.mark(&"x".repeat(MARK + 1));
        assert_eq!(next.marked(), "", "half a mark would name something else");
        assert!(next.0.set_len(1 << 20).is_err(), "the agent's memory cannot be filled");
    }
}
