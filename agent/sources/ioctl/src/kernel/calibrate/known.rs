//! What the agent knows of itself.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// A file that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct KnownFile {
    pub(super) descriptor: u32,
    /// Which of the files its descriptor is a duplicate of.
    pub(super) duplicate_of: Option<usize>,
    /// Its device number if it is a device, as the kernel has it.
    pub(super) device: u32,
    /// Kind and permissions.
    pub(super) mode: u16,
    /// Inode number.
    pub(super) number: u64,
    /// Device number of its file system, as the kernel has it.
    pub(super) system: u32,
    /// The last part of its path.
    pub(super) name: Vec<u8>,
    /// On a file system that tells the inode's own numbers.
    pub(super) simple: bool,
}

/// A controller of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Controller {
    /// The number of its hierarchy; 0 is the unified one.
    pub(super) hierarchy: u32,
    /// The id of the calling process's group in it, where it is known.
    pub(super) id: Option<u64>,
}

/// What is known of the calling thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Known {
    /// Address of its `task_struct`.
    pub(super) task: u64,
    /// Process id, and in the lower half thread id, in the initial namespace.
    pub(super) pid_tgid: u64,
    /// Its name.
    pub(super) comm: Vec<u8>,
    /// The name of its process's first thread.
    pub(super) leader_comm: Vec<u8>,
    /// When it and that first thread started, in ticks since boot.
    pub(super) started: [u64; 2],
    /// Length of a tick in ns.
    pub(super) tick: u64,
    /// Open files.
    pub(super) files: Vec<KnownFile>,
    /// Which of them is the executable.
    pub(super) executable: Option<usize>,
    /// Id of its group in the unified hierarchy.
    pub(super) cgroup: u64,
    /// All controllers in the order of the kernel's numbers.
    pub(super) controllers: Vec<Controller>,
}

/// Nodes that every machine has, that any process may open, and whose drivers do nothing then.
const NODES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"];
/// Files on other simple file systems.
const OTHERS: [&str; 3] = ["/proc/uptime", "/proc/self/stat", "/sys/kernel"];

/// Waits until a thread that starts now starts some ticks after its process did, so that the two can be told apart.
pub(in super::super) fn wait_for_ticks() {
    const TICKS: u64 = 3;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let began = started(&std::fs::read("/proc/self/stat").unwrap_or_default());
    // Bounded, should the two clocks not be the same in a time namespace.
    for _ in 0..2 * TICKS {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let ticks = now.tv_sec as u64 * per_second + now.tv_nsec as u64 * per_second / 1_000_000_000;
        if ticks > began.saturating_add(TICKS) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1000 / per_second + 1));
    }
}

/// Knows the calling thread. The files stay open as long as what is returned beside.
pub(in super::super) fn gather(task: u64, pid_tgid: u64, cgroup: u64) -> (Known, Vec<OwnedFd>) {
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut files = Vec::new();
    for path in NODES.into_iter().chain(OTHERS) {
        let Some((file, known)) = known(Path::new(path), true) else {
            continue;
        };
        // A duplicate, and a second file of the same inode.
        if let Ok(copy) = file.try_clone() {
            files.push(known.clone());
            files.push(KnownFile {
                descriptor: copy.as_raw_fd() as u32,
                duplicate_of: Some(files.len() - 1),
                ..known
            });
            open.extend([file.into(), copy.into()]);
        }
    }
    let executable = known(Path::new("/proc/self/exe"), false).map(|(file, known)| {
        open.push(file.into());
        files.push(known);
        files.len() - 1
    });
    let text = |path: &str| std::fs::read(path).unwrap_or_default();
    let line = |path: &str| {
        let mut text = text(path);
        text.pop_if(|last| *last == b'\n');
        text
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let known = Known {
        task,
        pid_tgid,
        comm: line("/proc/thread-self/comm"),
        leader_comm: line("/proc/self/comm"),
        started: [
            started(&text("/proc/thread-self/stat")),
            started(&text("/proc/self/stat")),
        ],
        tick: 1_000_000_000 / ticks,
        files,
        executable,
        cgroup,
        controllers: controllers(),
    };
    (known, open)
}

fn known(path: &Path, simple: bool) -> Option<(File, KnownFile)> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if path.starts_with("/dev") && !metadata.file_type().is_char_device() {
        return None;
    }
    let kernel = |number: u64| rustix::fs::major(number) << 20 | rustix::fs::minor(number) & 0xf_ffff;
    let known = KnownFile {
        descriptor: file.as_raw_fd() as u32,
        duplicate_of: None,
        device: kernel(metadata.rdev()),
        mode: metadata.mode() as u16,
        number: metadata.ino(),
        system: kernel(metadata.dev()),
        name: path.file_name()?.as_encoded_bytes().to_vec(),
        simple,
    };
    Some((file, known))
}

/// Field 22; the second, in brackets, is chosen by strangers.
fn started(stat: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(stat);
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    behind
        .split_whitespace()
        .nth(19)
        .and_then(|field| field.parse().ok())
        .unwrap_or(u64::MAX)
}

/// `/proc/cgroups` lists them by their numbers; the ids are the inode numbers of this process's folders.
fn controllers() -> Vec<Controller> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (table, own, mounts) = (
        read("/proc/cgroups"),
        read("/proc/self/cgroup"),
        read("/proc/self/mountinfo"),
    );
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let (name, hierarchy) = (columns.next()?, columns.next()?.parse().ok()?);
            let id = folder(name, &own, &mounts).and_then(|path| Some(std::fs::metadata(path).ok()?.ino()));
            Some(Controller { hierarchy, id })
        })
        .collect()
}

/// The folder of this process's group in the v1 hierarchy of a controller.
fn folder(controller: &str, own: &str, mounts: &str) -> Option<std::path::PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        names.split(',').any(|name| name == controller).then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let (root, point) = {
            let mut fields = mount.split(' ').skip(3);
            (fields.next()?, fields.next()?)
        };
        let mut system = system.split(' ');
        let options = (system.next()? == "cgroup").then(|| system.nth(1))??;
        if !options.split(',').any(|option| option == controller) {
            return None;
        }
        let within = path.strip_prefix(root)?.trim_start_matches('/');
        Some(Path::new(point).join(within))
    })
}
