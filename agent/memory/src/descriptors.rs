//! Gives back what a process holds by its descriptors, when it ends.
//!
//! A process has ended when all of its threads have. One that waits for a file system which does not answer (FUSE, NFS) cannot
//! be killed, and until it returns the kernel keeps the descriptors of the whole process: its ports stay taken, programs in the
//! kernel stay attached, and whoever reads its pipes waits for their end.

use std::fs::{self, File};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::DupFlags;

/// What others may wait for or want, as the links of `/proc/self/fd` begin (proc_pid_fd(5)). Files are left: to close one asks
/// its file system (`flush`, Documentation/filesystems/vfs.rst), which is what may not answer.
const FIRST: [&str; 2] = ["socket:", "pipe:"];
/// What takes the kernel some time to release: eBPF objects and the events that they are attached to.
const LAST: [&str; 2] = ["anon_inode:bpf", "anon_inode:[perf_event]"];

/// Puts `/dev/null` in the place of each socket, pipe and eBPF object, standard input and output included. The last act of a
/// process: whatever its threads still read or write is lost.
pub fn give_back() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for kinds in [FIRST, LAST] {
        for entry in fs::read_dir("/proc/self/fd")?.flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // It may be closed by now.
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let is_held = kinds
                .iter()
                .any(|kind| target.as_os_str().as_encoded_bytes().starts_with(kind.as_bytes()));
            if let Some(number) = number.filter(|_| is_held) {
                replace(number, &null)?;
            }
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a descriptor that another part of the process owns")]
fn replace(number: RawFd, by: impl AsFd) -> io::Result<()> {
    // SAFETY: the number is that of an open descriptor. It is not closed here, so that its owner goes on to own an open one,
    // of another file, which the end of the process makes good.
    let mut descriptor = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    Ok(rustix::io::dup3(by, &mut descriptor, DupFlags::CLOEXEC)?)
}
