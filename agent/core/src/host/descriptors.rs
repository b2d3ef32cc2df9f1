//! Devices that processes hold open, from `/proc/<pid>/fd`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, Statx, StatxFlags};

use super::bounded::read_bounded;
use super::process::Processes;
use super::stuck::apart;

/// Limit of bytes read of what the kernel shows of a descriptor.
const MAX_INFORMATION: usize = 4096;

/// Limit of descriptors read of one process.
const MAX_DESCRIPTORS: usize = 16_384;

/// Numbers of the `wanted` character devices that a process holds open, one for each descriptor. A descriptor of the path
/// alone (`O_PATH`) does not open the device. A walk takes about 5 µs per descriptor (unoptimised, Linux 6.18 on a small
/// virtual machine).
///
/// Fails if the process has ended, does not let itself be read, or access is denied (needs `CAP_SYS_PTRACE`).
pub fn char_devices(
    processes: &Processes,
    pid: u32,
    wanted: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> io::Result<Vec<u64>> {
    let all = processes.clone();
    processes.file(pid, "fd", move |_| {
        Ok(open_devices(&all, pid, MAX_DESCRIPTORS, &wanted)?.collect())
    })
}

/// Whether a process holds any of these devices open by one of its first `most` descriptors.
pub fn holds_char_device(
    processes: &Processes,
    pid: u32,
    most: usize,
    wanted: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> io::Result<bool> {
    let all = processes.clone();
    processes.file(pid, "fd", move |_| {
        Ok(open_devices(&all, pid, most, &wanted)?.next().is_some())
    })
}

fn open_devices(
    processes: &Processes,
    pid: u32,
    most: usize,
    wanted: &impl Fn(u64) -> bool,
) -> io::Result<impl Iterator<Item = u64>> {
    let mut descriptors = Descriptors::of(&processes.path(pid, ""))?;
    if descriptors.next.is_none() {
        // The first thread may have ended: what the others have open is listed at them. One that ends meanwhile has nothing
        // open any more.
        let paths = processes
            .other_threads(pid)
            .map(|thread| processes.path(pid, &format!("task/{thread}")));
        let mut opened = paths.filter_map(|path| Descriptors::of(&path).ok());
        descriptors = opened.find(|of| of.next.is_some()).unwrap_or(descriptors);
    }
    let numbers = std::iter::from_fn(move || {
        let descriptor = descriptors.next.take()?;
        descriptors.next = descriptors.read();
        let number = descriptors.char_device(&descriptor).filter(|number| wanted(*number));
        Some(number.filter(|_| descriptors.opens(&descriptor)))
    });
    Ok(numbers.take(most).flatten())
}

/// The descriptors of a process or a thread.
struct Descriptors {
    folder: Dir,
    /// What the kernel shows of each (`fdinfo`).
    information: PathBuf,
    next: Option<DirEntry>,
}

impl Descriptors {
    /// `path` is that of the process or the thread.
    fn of(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path.join("fd"), flags, Mode::empty())?;
        let mut found = Self {
            folder: Dir::new(folder)?,
            information: path.join("fdinfo"),
            next: None,
        };
        found.next = found.read();
        Ok(found)
    }

    fn read(&mut self) -> Option<DirEntry> {
        let is_number = |entry: &DirEntry| entry.file_name().to_bytes().first() != Some(&b'.');
        self.folder.by_ref().flatten().find(is_number)
    }

    /// Device number of a descriptor, without opening the device, and without a request to a file server that may not
    /// answer. Each is looked up from the open folder: half of the cost of the whole path.
    fn char_device(&self, descriptor: &DirEntry) -> Option<u64> {
        let found = self.statx(descriptor, AtFlags::empty(), StatxFlags::TYPE)?;
        let is_device = FileType::from_raw_mode(found.stx_mode.into()) == FileType::CharacterDevice;
        is_device.then(|| rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor))
    }

    /// Whether a descriptor opens its file; also where that cannot be known.
    fn opens(&self, descriptor: &DirEntry) -> bool {
        // The link of one that reads or writes is readable or writable (`tid_fd_update_inode` of fs/proc/fd.c).
        let link = self.statx(descriptor, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MODE);
        if link.is_some_and(|link| link.stx_mode & 0o600 != 0) {
            return true;
        }
        // One that does neither may still be for ioctl(2): access mode 3 of open(2).
        let name = OsStr::from_bytes(descriptor.file_name().to_bytes());
        let Ok(text) = read_bounded(&self.information.join(name), MAX_INFORMATION) else {
            return true;
        };
        let text = String::from_utf8_lossy(&text);
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        flags.is_none_or(|flags| flags & OFlags::PATH.bits() == 0)
    }

    fn statx(&self, descriptor: &DirEntry, flags: AtFlags, wanted: StatxFlags) -> Option<Statx> {
        let flags = flags | AtFlags::STATX_DONT_SYNC;
        rustix::fs::statx(self.folder.fd().ok()?, descriptor.file_name(), flags, wanted).ok()
    }
}

/// Schedule of the walks through all processes' descriptors, which bounds their share of a core.
#[derive(Debug, Default)]
pub struct Pace {
    walked: Option<(Instant, Duration)>,
    references: Option<u64>,
}

/// Time to the next walk as a multiple of the last one's CPU time: the walks take at most 0.5 % of a core until
/// [`LATEST`] is reached, and almost nothing while the kernel's reference count does not change.
const REST: u32 = 200;
/// Longest time between two walks.
const LATEST: Duration = Duration::from_mins(1);

impl Pace {
    /// Time of the next walk. `soonest` is the least time between two of them. `references` is the kernel's reference
    /// count of the devices' drivers; if it is unchanged and no holder was lost, the holders have most likely not
    /// changed either.
    pub fn due(&self, now: Instant, soonest: Duration, references: Option<u64>, lost_one: bool) -> Instant {
        let Some((at, took)) = self.walked else { return now };
        let same = references.is_some() && !self.is_changed(references) && !lost_one;
        at + if same {
            LATEST
        } else {
            (took * REST).clamp(soonest, LATEST)
        }
    }

    /// Whether the reference count is known, and another one than at the last walk.
    pub fn is_changed(&self, references: Option<u64>) -> bool {
        references.is_some() && references != self.references
    }

    /// Start of the last walk.
    pub fn walked_at(&self) -> Option<Instant> {
        self.walked.map(|(at, _)| at)
    }

    /// Performs a walk, which changes nothing (see [`apart`]), and measures its CPU time.
    ///
    /// Fails as that does.
    pub fn walk<T: Send + 'static>(
        &mut self,
        now: Instant,
        references: Option<u64>,
        walk: impl Fn() -> T + Clone + Send + 'static,
    ) -> io::Result<T> {
        let walked = apart(move || {
            let begun = cpu_time();
            let result = walk();
            (result, cpu_time().saturating_sub(begun))
        });
        let (result, took) = match walked {
            Ok((result, took)) => (Ok(result), took),
            Err(error) => (Err(error), Duration::ZERO),
        };
        self.walked = Some((now, took));
        self.references = references;
        result
    }
}

/// CPU time of this thread: on a busy machine a walk takes longer, but costs the same.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostRoots;

    #[test]
    fn descriptors_of_this_process_are_seen_one_by_one() {
        let processes = Processes::new(&HostRoots::new("/"));
        let full = rustix::fs::makedev(1, 7);
        let count = || {
            let open = char_devices(&processes, std::process::id(), move |number| number == full);
            open.unwrap().len()
        };
        let before = count();
        let files = [0; 3].map(|_| std::fs::File::open("/dev/full").unwrap());
        assert_eq!(count(), before + 3);
        drop(files);
    }

    #[test]
    fn a_descriptor_of_the_path_alone_does_not_open_the_device() {
        let processes = Processes::new(&HostRoots::new("/"));
        let zero = rustix::fs::makedev(1, 5);
        let count = || {
            let open = char_devices(&processes, std::process::id(), move |number| number == zero);
            open.unwrap().len()
        };
        let open = |flags| rustix::fs::open("/dev/zero", flags, rustix::fs::Mode::empty()).unwrap();
        let before = count();
        let path = open(OFlags::PATH | OFlags::CLOEXEC);
        assert_eq!(count(), before);
        // For ioctl(2) alone.
        let control = open(OFlags::from_bits_retain(3) | OFlags::CLOEXEC);
        assert_eq!(count(), before + 1);
        let write = open(OFlags::WRONLY | OFlags::CLOEXEC);
        assert_eq!(count(), before + 2);
        drop((path, control, write));
    }

    #[test]
    fn an_expensive_walk_is_followed_by_a_long_rest() {
        let now = Instant::now();
        let (second, secs) = (Duration::from_secs(1), Duration::from_secs);
        let pace = |took| Pace {
            walked: Some((now, took)),
            references: Some(3),
        };
        assert_eq!(Pace::default().due(now, second, None, false), now);
        assert_eq!(
            pace(Duration::from_micros(100)).due(now, second, None, false),
            now + second
        );
        assert_eq!(
            pace(Duration::from_millis(50)).due(now, second, None, false),
            now + secs(10)
        );
        assert_eq!(pace(secs(2)).due(now, second, None, false), now + secs(60));
        let cheap = pace(Duration::from_micros(100));
        assert_eq!(cheap.due(now, second, Some(3), false), now + secs(60));
        assert_eq!(cheap.due(now, second, Some(4), false), now + second);
        assert_eq!(cheap.due(now, second, Some(3), true), now + second);
    }
}
