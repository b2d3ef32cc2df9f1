//! What user space knows about the calling thread and its process.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use procfs::process::{MountInfos, Stat};
use procfs::{CGroupControllers, FromRead, ProcessCGroups};

/// An open file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ReferenceFile {
    pub(super) descriptor: u32,
    /// Index of the file that its descriptor is a duplicate of.
    pub(super) duplicate_of: Option<usize>,
    /// Device number in the kernel's encoding; 0 if it is no device.
    pub(super) device: u32,
    /// Type and permissions.
    pub(super) mode: u16,
    /// Inode number.
    pub(super) number: u64,
    /// The last component of its path.
    pub(super) name: Vec<u8>,
    /// How it was opened: bits of [`OPENED`].
    pub(super) opened: u32,
    /// Whether stat(2) returns the inode's own numbers. Some file systems return others.
    pub(super) simple: bool,
}

/// The bits of `file.f_mode` (`linux/fs.h`) that tell how a file was opened: `FMODE_READ`, `FMODE_WRITE`, `FMODE_PATH`.
pub(super) const OPENED: u32 = READ | WRITE | PATH;
const READ: u32 = 1;
const WRITE: u32 = 1 << 1;
const PATH: u32 = 1 << 14;

/// A controller of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Controller {
    /// Id of its hierarchy; 0 is the unified one.
    pub(super) hierarchy: u32,
    /// Id of the process's group in that hierarchy, where it is known.
    pub(super) id: Option<u64>,
}

/// The values that are searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Reference {
    /// Address of the thread's `task_struct`.
    pub(super) task: u64,
    /// Process id (upper half) and thread id in the initial namespace.
    pub(super) pid_tgid: u64,
    /// Name of the thread.
    pub(super) comm: Vec<u8>,
    /// Name of the process's first thread.
    pub(super) leader_comm: Vec<u8>,
    /// Start of the thread and of the first thread, in ticks since boot.
    pub(super) started: [u64; 2],
    /// Length of a tick in ns.
    pub(super) tick: u64,
    /// Open files.
    pub(super) files: Vec<ReferenceFile>,
    /// Index of the executable among them.
    pub(super) executable: Option<usize>,
    /// Id of the process's group in the unified hierarchy.
    pub(super) cgroup: u64,
    /// All controllers in the order of their numbers in the kernel.
    pub(super) controllers: Vec<Controller>,
}

/// Device nodes that exist on every machine and that any process may open. Their drivers do nothing on opening.
const NODES: [(&str, u32); 5] = [
    ("/dev/null", READ | WRITE),
    ("/dev/zero", READ),
    ("/dev/full", WRITE),
    ("/dev/full", PATH),
    ("/dev/urandom", READ),
];
/// Files on other simple file systems.
const OTHERS: [(&str, u32); 3] = [("/proc/uptime", READ), ("/proc/self/stat", READ), ("/sys/kernel", READ)];

/// Waits until a new thread starts some ticks later than the process did, so that the two times differ.
pub(in super::super) fn wait_for_ticks() {
    const TICKS: u64 = 3;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let began = started("/proc/self/stat");
    // Bounded, since the two clocks may differ in a time namespace.
    for _ in 0..2 * TICKS {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ticks = now.tv_sec as u64 * per_second + now.tv_nsec as u64 * per_second / 1_000_000_000;
        if ticks > began.saturating_add(TICKS) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1000 / per_second + 1));
    }
}

/// Collects the values of the calling thread. The files must stay open during the search.
pub(in super::super) fn gather(task: u64, pid_tgid: u64, cgroup: u64) -> (Reference, Vec<OwnedFd>) {
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut files = Vec::new();
    for (path, opened) in NODES.into_iter().chain(OTHERS) {
        let Some((file, reference)) = open_file(Path::new(path), opened, true) else {
            continue;
        };
        // A duplicate of the descriptor, which refers to the same `struct file`.
        if let Ok(copy) = file.try_clone() {
            files.push(reference.clone());
            files.push(ReferenceFile {
                descriptor: copy.as_raw_fd() as u32,
                duplicate_of: Some(files.len() - 1),
                ..reference
            });
            open.extend([file.into(), copy.into()]);
        }
    }
    let executable = open_file(Path::new("/proc/self/exe"), READ, false).map(|(file, reference)| {
        open.push(file.into());
        files.push(reference);
        files.len() - 1
    });
    let line = |path: &str| {
        let mut text = std::fs::read(path).unwrap_or_default();
        text.pop_if(|last| *last == b'\n');
        text
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let reference = Reference {
        task,
        pid_tgid,
        comm: line("/proc/thread-self/comm"),
        leader_comm: line("/proc/self/comm"),
        started: [started("/proc/thread-self/stat"), started("/proc/self/stat")],
        tick: 1_000_000_000 / ticks,
        files,
        executable,
        cgroup,
        controllers: controllers().unwrap_or_default(),
    };
    (reference, open)
}

fn open_file(path: &Path, opened: u32, simple: bool) -> Option<(File, ReferenceFile)> {
    let mut options = File::options();
    options.read(opened != WRITE).write(opened & WRITE != 0);
    if opened == PATH {
        options.custom_flags(libc::O_PATH);
    }
    let file = options.open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if path.starts_with("/dev") && !metadata.file_type().is_char_device() {
        return None;
    }
    let kernel = |number: u64| rustix::fs::major(number) << 20 | rustix::fs::minor(number) & 0xf_ffff;
    let reference = ReferenceFile {
        descriptor: file.as_raw_fd() as u32,
        duplicate_of: None,
        device: kernel(metadata.rdev()),
        mode: metadata.mode() as u16,
        number: metadata.ino(),
        name: path.file_name()?.as_encoded_bytes().to_vec(),
        opened,
        simple,
    };
    Some((file, reference))
}

/// Start of a thread in ticks since boot.
fn started(stat: &str) -> u64 {
    Stat::from_file(stat).map_or(u64::MAX, |stat| stat.starttime)
}

/// `/proc/cgroups` lists the controllers by their numbers; the ids are the inode numbers of this process's directories.
fn controllers() -> procfs::ProcResult<Vec<Controller>> {
    let CGroupControllers(all) = CGroupControllers::from_file("/proc/cgroups")?;
    let own = ProcessCGroups::from_file("/proc/self/cgroup").ok();
    let mounts = MountInfos::from_file("/proc/self/mountinfo").ok();
    let id = |controller: &str| {
        let directory = directory(controller, own.as_ref()?, mounts.as_ref()?)?;
        Some(std::fs::metadata(directory).ok()?.ino())
    };
    Ok(all
        .iter()
        .map(|controller| Controller {
            hierarchy: controller.hierarchy,
            id: id(&controller.name),
        })
        .collect())
}

/// The directory of this process's group in the v1 hierarchy of a controller.
fn directory(controller: &str, own: &ProcessCGroups, mounts: &MountInfos) -> Option<PathBuf> {
    let group = own
        .into_iter()
        .find(|group| group.controllers.iter().any(|name| name == controller))?;
    mounts
        .iter()
        .filter(|mount| mount.fs_type == "cgroup" && mount.super_options.contains_key(controller))
        .find_map(|mount| {
            let within = group.pathname.strip_prefix(&mount.root)?;
            Some(mount.mount_point.join(within.trim_start_matches('/')))
        })
}
