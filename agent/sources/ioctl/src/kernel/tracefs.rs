//! The file system that numbers tracepoints and takes probes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// A root of tracefs: one that is mounted, else one of the agent's own that nobody else sees and that ends with it.
#[derive(Debug)]
pub(super) struct Tracefs {
    root: OwnedFd,
}

/// Below `/sys/kernel`.
const PLACES: [&str; 2] = ["tracing", "debug/tracing"];

impl Tracefs {
    /// Finds or makes one. `host` is the host's `/sys/kernel`: a container's own has no tracefs, and making one needs
    /// Linux 5.2 and CAP_SYS_ADMIN.
    pub(super) fn open(host: &Path) -> io::Result<Self> {
        let own = Path::new("/sys/kernel");
        let places = [host, own]
            .into_iter()
            .flat_map(|kernel| PLACES.map(|place| kernel.join(place)));
        for place in places {
            if !place.join("events").exists() {
                continue;
            }
            let root = openat(
                rustix::fs::CWD,
                &place,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            );
            if let Ok(root) = root {
                return Ok(Self { root });
            }
        }
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        let root = fsmount(
            context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )?;
        Ok(Self { root })
    }

    /// The number of a tracepoint such as `syscalls/sys_enter_ioctl`.
    pub(super) fn id(&self, event: &str) -> io::Result<u64> {
        let path = format!("events/{event}/id");
        let file = std::fs::File::from(openat(
            &self.root,
            path,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        let mut text = String::new();
        file.take(64).read_to_string(&mut text)?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// Adds or removes probes: one command of `Documentation/trace/kprobetrace.rst`.
    pub(super) fn probe(&self, command: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(openat(&self.root, "kprobe_events", flags, Mode::empty())?);
        file.write_all(command.as_bytes())
    }

    /// The names of the probes of a group.
    pub(super) fn probes(&self, group: &str) -> Vec<String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(&self.root, format!("events/{group}"), flags, Mode::empty()) else {
            return Vec::new();
        };
        let Ok(entries) = rustix::fs::Dir::read_from(&folder) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()))
            .filter(|name| !name.starts_with('.') && name != "enable" && name != "filter")
            .collect()
    }
}
