//! Who says whose files are: for most file systems whoever runs the machine, for FUSE the program that serves it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use super::bounded::read_bounded;
use super::process::Processes;

/// `FUSE_SUPER_MAGIC` (`include/uapi/linux/magic.h`), which virtiofs has too.
const FUSE: u32 = 0x6573_5546;
/// Longest list of mounts that is read: the kernel has 100,000 in a namespace by default (`fs.mount-max`).
const MAX_MOUNTS: usize = 16 << 20;
/// Longest map of users: 340 lines (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_MAP: usize = 64 << 10;

/// Who decides which owner and mode a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The machine: its kernel, the machine that it runs on (virtiofs), a server that root has mounted (NFS, 9P), or a program
    /// that root has mounted (FUSE).
    Machine,
    /// A program of that user (FUSE), which can name any owner.
    User(u32),
    /// A program in a user namespace (FUSE, as fuse-overlayfs of rootless Podman), which can only name the users of that
    /// namespace: the kernel translates them (`make_kuid` in fs/fuse/inode.c).
    Namespace,
    /// A program of somebody.
    Unknown,
}

/// What the line of a mount in `mountinfo` says (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mount<'a> {
    /// Major and minor number of its files' device.
    device: &'a str,
    /// Type of the file system, with a subtype: `fuse.sshfs`.
    kind: &'a str,
    /// Who has mounted it, in the numbers of his user namespace (`fuse_show_options`).
    user: Option<u32>,
}

impl Authority {
    /// Of an open file on a mount of this process.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        if !is_fuse(&file)? {
            return Ok(Self::Machine);
        }
        let mounts = list(Path::new("/proc/self/mountinfo"))?;
        Ok(find(&mounts, &mount_id(&file)?).map_or(Self::Unknown, Self::of_mount))
    }

    /// Of an open file that was found through `/proc/<pid>/root`, on a mount of that process.
    pub fn in_view(file: impl AsFd, processes: &Processes, pid: u32) -> io::Result<Self> {
        if !is_fuse(&file)? {
            return Ok(Self::Machine);
        }
        let mounts = list(&processes.path(pid, "mountinfo"))?;
        let Some(mount) = find(&mounts, &mount_id(&file)?) else {
            return Ok(Self::Unknown);
        };
        let users = read_bounded(&processes.path(pid, "uid_map"), MAX_MAP)?;
        let of_host = list(&processes.path(1, "mountinfo")).unwrap_or_default();
        Ok(Self::of_foreign(mount, has_all_users(&users), &of_host))
    }

    /// Of a mount in a namespace of mounts that root has made.
    fn of_mount(mount: Mount<'_>) -> Self {
        match mount.user {
            // Only whoever may mount anything mounts the machine's directories (no `FS_USERNS_MOUNT` in fs/fuse/virtio_fs.c).
            _ if mount.kind == "virtiofs" => Self::Machine,
            Some(0) => Self::Machine,
            Some(user) => Self::User(user),
            None => Self::Unknown,
        }
    }

    /// Of a mount as a process sees it that may have mounted it itself. `has_all_users`: it is in no user namespace of its own.
    /// `of_host` are the mounts of the host.
    fn of_foreign(mount: Mount<'_>, has_all_users: bool, of_host: &str) -> Self {
        if has_all_users || mount.kind == "virtiofs" {
            return Self::of_mount(mount);
        }
        let mut of_host = of_host.lines().filter_map(Mount::parse);
        if let Some(inherited) = of_host.find(|other| other.device == mount.device) {
            return Self::of_mount(inherited);
        }
        match mount.user {
            // Root's own, or that of the namespace's root. A user who has mounted it outside of the namespace has another number.
            Some(0) => Self::Namespace,
            _ => Self::Unknown,
        }
    }
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (place, system) = line.split_once(" - ")?;
        let (kind, options) = (system.split(' ').next()?, system.rsplit(' ').next()?);
        let user = options.split(',').find_map(|option| option.strip_prefix("user_id="));
        Some(Self {
            device: place.split(' ').nth(2)?,
            kind,
            user: user.and_then(|user| user.parse().ok()),
        })
    }
}

/// The mount with that id.
fn find<'a>(mounts: &'a str, id: &str) -> Option<Mount<'a>> {
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id))?;
    Mount::parse(line)
}

fn list(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_bounded(path, MAX_MOUNTS)?).into_owned())
}

fn is_fuse(file: impl AsFd) -> io::Result<bool> {
    // The type is of 32 bits, and signed on some architectures.
    Ok(rustix::fs::fstatfs(file)?.f_type as u32 == FUSE)
}

/// The id of the file's mount (`/proc/<pid>/fdinfo`, Linux 3.15).
fn mount_id(file: impl AsFd) -> io::Result<String> {
    let about = format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd());
    let about = std::fs::read_to_string(about)?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.map(|id| id.trim().to_owned())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whether a map of users has all users of the machine with their own numbers (user_namespaces(7)).
pub(super) fn has_all_users(map: &[u8]) -> bool {
    let fields = map.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    fields.eq([b"0".as_slice(), b"0", b"4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Authority {
        Authority::of_mount(Mount::parse(line).unwrap())
    }

    /// Lines of Kata Containers 3.2, and of Debian 12 with sshfs 3.7, Podman 4.3, ntfs-3g and a program of root.
    const VIRTIOFS: &str = "531 526 0:36 /c1/rootfs / rw,relatime - virtiofs none rw";
    const SSHFS: &str = "92 30 0:52 / /mnt/my\\040files rw,nosuid,nodev - fuse.sshfs edge@host: rw,user_id=1000,group_id=1000,allow_other";
    const OVERLAY: &str = "640 512 0:60 / / rw,nodev,relatime - fuse.fuse-overlayfs fuse-overlayfs rw,user_id=0,group_id=0,default_permissions,allow_other";
    const NTFS: &str =
        "93 30 8:2 / /mnt/disk rw,relatime shared:40 - fuseblk /dev/sda2 rw,user_id=0,group_id=0,allow_other";

    #[test]
    fn virtiofs_is_the_machines_and_fuse_is_whose_program_serves_it() {
        assert_eq!(of(VIRTIOFS), Authority::Machine);
        assert_eq!(of(SSHFS), Authority::User(1000));
        assert_eq!(of(NTFS), Authority::Machine);
        assert_eq!(of("9 1 0:9 / /x rw - fuse x rw"), Authority::Unknown);
        assert_eq!(
            of("9 1 0:9 / /x rw - fuse user_id=0 rw,user_id=12"),
            Authority::User(12)
        );
        assert_eq!(
            of("9 1 0:9 / /x rw - fuse.virtiofs x rw,user_id=12"),
            Authority::User(12)
        );
        assert_eq!(Mount::parse("9 1 0:9 / /x rw"), None);
    }

    #[test]
    fn a_mount_in_a_user_namespace_speaks_for_the_users_of_that_namespace_alone() {
        let foreign =
            |line, has_all_users, of_host| Authority::of_foreign(Mount::parse(line).unwrap(), has_all_users, of_host);
        assert_eq!(foreign(OVERLAY, false, SSHFS), Authority::Namespace);
        assert_eq!(foreign(OVERLAY, true, SSHFS), Authority::Machine, "podman of root");
        assert_eq!(foreign(VIRTIOFS, false, ""), Authority::Machine);
        // Made on the host, with any owners, and then bound into a container.
        let inherited = "700 640 0:52 / /tmp rw - fuse.sshfs edge@host: rw,user_id=0,group_id=0";
        assert_eq!(foreign(inherited, false, SSHFS), Authority::User(1000));
        let unmounted = SSHFS;
        assert_eq!(foreign(unmounted, false, OVERLAY), Authority::Unknown);
    }

    #[test]
    fn all_users_are_those_of_the_machine_with_their_own_numbers() {
        assert!(has_all_users(b"         0          0 4294967295\n"));
        assert!(!has_all_users(
            b"         0       1000          1\n         1     100000      65536\n"
        ));
        assert!(!has_all_users(b"         0     100000 4294867295\n") && !has_all_users(b""));
    }

    #[test]
    fn this_machines_own_files_are_the_machines() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(Authority::of(&file).unwrap(), Authority::Machine);
        let own = find(
            &list(Path::new("/proc/self/mountinfo")).unwrap(),
            &mount_id(&file).unwrap(),
        )
        .map(|mount| mount.kind.to_owned());
        assert_eq!(own.as_deref(), Some("proc"));
    }
}
