//! tracefs, which has the numbers of tracepoints and creates probes.
//!
//! aya 0.14 looks for it below the `/sys/kernel` of its own mount namespace only, and does not mount it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::path::Arg;

/// The root of a mounted tracefs, or of a detached mount of the agent's own, which ends with the descriptor.
#[derive(Debug)]
pub(super) struct Tracefs {
    root: OwnedFd,
}

/// Mount points below `/sys/kernel`.
const MOUNT_POINTS: [&str; 2] = ["tracing", "debug/tracing"];

impl Tracefs {
    /// Opens one. `host` is the host's `/sys/kernel`: that of a container has no tracefs. A detached mount needs Linux 5.2
    /// and `CAP_SYS_ADMIN`.
    pub(super) fn open(host: &Path) -> io::Result<Self> {
        let own = Path::new("/sys/kernel");
        let mount_points = [host, own]
            .into_iter()
            .flat_map(|kernel| MOUNT_POINTS.map(|place| kernel.join(place)));
        for place in mount_points {
            if !place.join("events").exists() {
                continue;
            }
            if let Ok(root) = open_at(CWD, &place, OFlags::PATH | OFlags::DIRECTORY) {
                return Ok(Self { root });
            }
        }
        Ok(Self {
            root: mount("tracefs")?,
        })
    }

    /// The number of a tracepoint such as `syscalls/sys_enter_ioctl`.
    pub(super) fn id(&self, event: &str) -> io::Result<u64> {
        let file = open_at(&self.root, format!("events/{event}/id"), OFlags::RDONLY)?;
        let mut text = String::new();
        File::from(file).take(64).read_to_string(&mut text)?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// Adds or removes a probe, by a command as in `Documentation/trace/kprobetrace.rst`.
    pub(super) fn probe(&self, command: &str) -> io::Result<()> {
        let file = open_at(&self.root, "kprobe_events", OFlags::WRONLY | OFlags::APPEND)?;
        File::from(file).write_all(command.as_bytes())
    }

    /// The names of the probes of a group.
    pub(super) fn probes(&self, group: &str) -> Vec<String> {
        let folder = open_at(
            &self.root,
            format!("events/{group}"),
            OFlags::RDONLY | OFlags::DIRECTORY,
        );
        folder
            .and_then(Dir::read_from)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()))
            .filter(|name| !name.starts_with('.') && name != "enable" && name != "filter")
            .collect()
    }
}

/// A detached mount, which ends with the descriptor.
fn mount(kind: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let root = fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    Ok(root)
}

/// A file of debugfs; `host` is the host's `/sys/kernel`. Needs the privileges of [`Tracefs::open`].
pub(super) fn read_debugfs(host: &Path, name: &str) -> io::Result<String> {
    if let Ok(text) = std::fs::read_to_string(host.join("debug").join(name)) {
        return Ok(text);
    }
    let mut text = String::new();
    let file = open_at(mount("debugfs")?, name, OFlags::RDONLY)?;
    File::from(file).take(4096).read_to_string(&mut text)?;
    Ok(text)
}

fn open_at(root: impl AsFd, path: impl Arg, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat(root, path, flags | OFlags::CLOEXEC, Mode::empty())
}
