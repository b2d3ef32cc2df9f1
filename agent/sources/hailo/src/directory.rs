//! A directory of monitor files. Links and special files that another user of the directory puts there are not followed
//! or opened: a device node would wake the card, a FIFO would block.
//!
//! Files are not locked: HailoRT up to 4.21 truncates before it tries its lock, so that a reader's lock leaves the file
//! empty for an interval.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::decode::MAX_BYTES;
use accelscope_core::host::HostRoots;
use accelscope_core::host::authority::Authority;
use accelscope_core::host::beneath::{open_on_mount, open_without_links};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::Timestamp;

/// Where HailoRT writes (`SCHEDULER_MON_TMP_DIR`), relative to the root of its mount namespace.
pub(super) const IN_ROOT: &str = "tmp/hmon_files";

/// Most files of one directory that are read: one per process.
pub(super) const MAX_FILES: usize = 256;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);

/// `f_type` of 9P, AFS, Ceph, CIFS, FUSE and virtiofs, NFS, SMB and SMB 2 (statfs(2)).
const REMOTE: [u32; 8] = [
    0x0102_1997,
    0x5346_414f,
    0x00c3_6400,
    0xff53_4d42,
    0x6573_5546,
    0x6969,
    0x517b,
    0xfe53_4d42,
];

/// `f_type` of ext2 to ext4, tmpfs, XFS, Btrfs and F2FS: on them a call waits for this machine alone, whoever mounted them.
const LOCAL: [u32; 5] = [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    pub(super) id: DirectoryId,
    /// `f_type` of its file system.
    file_system: u32,
    /// Whether calls to it and its files wait for this machine alone.
    is_local: bool,
    /// Who says whose its files are.
    pub(super) authority: Authority,
}

/// A regular file that was found, and not opened.
#[derive(Debug)]
pub(super) struct Found {
    path: File,
    metadata: Metadata,
    pub(super) stamp: Stamp,
}

/// `st_dev` and `st_ino`.
pub(super) type DirectoryId = (u64, u64);

/// One version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    /// The user that owns it.
    pub(super) user: u32,
    /// Whether others than its owner, and root's or the owner's own group, may write to it.
    pub(super) is_open: bool,
}

impl Stamp {
    /// That of a file of which not even that can be read.
    pub(super) const UNKNOWN: Self = Self {
        inode: 0,
        size: 0,
        modified: Timestamp::from_unix_nanos(0),
        user: u32::MAX,
        is_open: false,
    };
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("is no longer there")]
    Gone,
    #[error("is {0} and no regular file, which HailoRT never makes")]
    NotAFile(&'static str),
    #[error("is mounted from another file system, where HailoRT never writes")]
    Mounted,
    #[error("has {0} bytes, more than the {MAX_BYTES} that are read")]
    TooLarge(u64),
    #[error("was written while it was read")]
    Changing,
    #[error("cannot be read{1}: {0}")]
    Denied(#[source] io::Error, String),
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl ReadError {
    /// Value of the attribute `agent.reason`; `None` where it happens in every write.
    pub(super) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Gone | Self::Changing => None,
            Self::NotAFile(_) | Self::Mounted => Some("not_a_file"),
            Self::TooLarge(_) => Some("too_large"),
            Self::Denied(..) | Self::Io(_) => Some("unreadable"),
        }
    }
}

impl Directory {
    /// Opens the configured directory. Its parents are the administrator's; its last component may lie in a directory that
    /// every user can write to, and must not be a link.
    pub(super) fn configured(roots: &HostRoots, dir: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            return Self::here(rustix::fs::open(roots.path(dir), DIRECTORY, Mode::empty())?);
        };
        let parent = rustix::fs::open(roots.path(parent), DIRECTORY | OFlags::PATH, Mode::empty())?;
        Self::here(open_without_links(parent, Path::new(name), DIRECTORY)?)
    }

    fn here(fd: OwnedFd) -> io::Result<Self> {
        let authority = Authority::of(&fd);
        Self::from_fd(fd, authority)
    }

    /// Opens the directory in a process' mount namespace.
    pub(super) fn in_namespace(processes: &Processes, pid: u32) -> io::Result<Self> {
        let open = |path: &Path| Ok(rustix::fs::open(path, DIRECTORY | OFlags::PATH, Mode::empty())?);
        let root = processes.file(pid, "root", open)?;
        let fd = open_without_links(root, Path::new(IN_ROOT), DIRECTORY)?;
        let authority = Authority::in_view(&fd, processes, pid);
        Self::from_fd(fd, authority)
    }

    fn from_fd(fd: OwnedFd, authority: io::Result<Authority>) -> io::Result<Self> {
        let file = File::from(fd);
        let id = identity(&file.metadata()?);
        // The type is of 32 bits, and signed on some architectures.
        let file_system = rustix::fs::fstatfs(&file).map_or(0, |found| found.f_type as u32);
        // Linux before 5.6 cannot refuse mounts.
        let refuses_mounts =
            || rustix::fs::openat2(&file, ".", DIRECTORY, Mode::empty(), ResolveFlags::NO_XDEV).is_ok();
        let is_local = LOCAL.contains(&file_system) && refuses_mounts();
        Ok(Self {
            file,
            id,
            file_system,
            is_local,
            // The process may have ended.
            authority: authority.unwrap_or(Authority::Unknown),
        })
    }

    /// A path of the open directory, even after it was renamed.
    pub(super) fn own_path(&self) -> PathBuf {
        own_path(&self.file)
    }

    /// Whether it was removed: a bind mount of a removed directory remains, empty.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }

    /// Whether it is on a network file system: changes by other machines cause no inotify event there.
    pub(super) fn is_remote(&self) -> bool {
        REMOTE.contains(&self.file_system)
    }

    /// Whether no call to it or its files waits for another machine or process. What is mounted on its files, which its users may
    /// do with FUSE, is left alone.
    pub(super) const fn is_local(&self) -> bool {
        self.is_local
    }

    /// Its entries, one after the other.
    pub(super) fn entries(&self) -> io::Result<Dir> {
        Ok(Dir::read_from(&self.file)?)
    }

    /// Finds a file without opening it, so that its type can be checked first.
    pub(super) fn find(&self, name: &OsStr) -> Result<Found, ReadError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nothing that is mounted here: it may not answer, and its file system may name any owner.
        let path = File::from(open_on_mount(&self.file, Path::new(name), flags).map_err(missing)?);
        let metadata = path.metadata().map_err(missing)?;
        Ok(Found {
            stamp: stamp(&path, &metadata)?,
            path,
            metadata,
        })
    }

    /// The present version of a file.
    pub(super) fn stamp(&self, name: &OsStr) -> Result<Stamp, ReadError> {
        Ok(self.find(name)?.stamp)
    }
}

impl Found {
    /// Reads the whole file, unless it changes meanwhile.
    pub(super) fn read(&self) -> Result<Vec<u8>, ReadError> {
        let found = self.stamp;
        if found.size > MAX_BYTES {
            return Err(ReadError::TooLarge(found.size));
        }
        let opened = open_for_reading(&self.path);
        let file = File::from(opened.map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => ReadError::Denied(error.into(), permissions(&self.metadata)),
            _ => missing(error),
        })?);
        let mut bytes = Vec::with_capacity(usize::try_from(found.size).unwrap_or(0));
        // What has been added since then changes the stamp.
        (&file).take(found.size).read_to_end(&mut bytes)?;
        if stamp(&file, &file.metadata()?)? == found && found.size == bytes.len() as u64 {
            Ok(bytes)
        } else {
            Err(ReadError::Changing)
        }
    }
}

/// Opens what was found. Without `O_NOATIME` each reading of a new version would write its time of access to the disk
/// (`relatime`, mount(8)). The kernel grants it to the file's owner and with `CAP_FOWNER` (open(2)).
fn open_for_reading(found: &File) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(own_path(found), flags, Mode::empty());
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}

fn stamp(file: &File, metadata: &Metadata) -> Result<Stamp, ReadError> {
    if !metadata.is_file() {
        return Err(ReadError::NotAFile(kind(FileType::from_raw_mode(metadata.mode()))));
    }
    Ok(Stamp {
        inode: metadata.ino(),
        size: metadata.len(),
        modified: metadata.modified()?.into(),
        user: metadata.uid(),
        is_open: is_open(file, metadata),
    })
}

/// Whether others than its owner, and root's or the owner's own group, may write to it. With an access control list the mode
/// shows the most that the list allows to anyone but the owner as the group's permission (acl(5)).
fn is_open(file: &File, metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let is_own_group = || metadata.gid() == 0 || metadata.gid() == metadata.uid();
    mode & 0o002 != 0 || (mode & 0o020 != 0 && (!is_own_group() || has_list(file)))
}

/// Whether the file has an access control list; unless it is known to have none.
fn has_list(file: &File) -> bool {
    let found = rustix::fs::getxattr(own_path(file), "system.posix_acl_access", &mut [0_u8; 0][..]);
    !matches!(found, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

pub(super) fn identity(metadata: &Metadata) -> DirectoryId {
    (metadata.dev(), metadata.ino())
}

fn missing(error: impl Into<io::Error>) -> ReadError {
    let error = error.into();
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => ReadError::Gone,
        Some(Errno::XDEV) => ReadError::Mounted,
        Some(Errno::LOOP) => ReadError::NotAFile(kind(FileType::Symlink)),
        Some(Errno::ACCESS | Errno::PERM) => ReadError::Denied(error, String::new()),
        _ => ReadError::Io(error),
    }
}

/// A type of file in words.
pub(super) const fn kind(of: FileType) -> &'static str {
    match of {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device node",
        _ => "of another type",
    }
}

fn permissions(of: &Metadata) -> String {
    format!(" (mode {:o}, owned by user {})", of.mode() & 0o7777, of.uid())
}

fn own_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> Directory {
        Directory::configured(&HostRoots::new("/"), path).unwrap()
    }

    fn read(directory: &Directory, name: &str) -> Result<Vec<u8>, ReadError> {
        directory.find(OsStr::new(name))?.read()
    }

    #[test]
    fn reads_regular_files_and_no_links_or_special_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::fs::write(path.join("7abcdef"), b"hello").unwrap();
        std::fs::write(path.join("7abcdef.tmp"), b"hello").unwrap();
        symlink("/etc/passwd", path.join("8abcdef")).unwrap();
        symlink("7abcdef", path.join("9abcdef")).unwrap();
        std::fs::create_dir(path.join("10abcdef")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path.join("11abcdef"), Mode::RUSR | Mode::WUSR).unwrap();
        let directory = open(path);
        assert_eq!(read(&directory, "7abcdef").unwrap(), b"hello");
        for planted in ["8abcdef", "9abcdef", "10abcdef", "11abcdef"] {
            assert!(
                matches!(read(&directory, planted), Err(ReadError::NotAFile(_))),
                "{planted}"
            );
        }
        assert!(matches!(read(&directory, "12abcdef"), Err(ReadError::Gone)));
    }

    #[test]
    fn a_file_is_open_where_another_user_may_write_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7abcdef");
        std::fs::write(&path, b"hello").unwrap();
        let own = path.metadata().unwrap();
        let is_open = |mode: u32| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            open(dir.path()).stamp(OsStr::new("7abcdef")).unwrap().is_open
        };
        assert_eq!([0o600, 0o644, 0o666, 0o602].map(is_open), [false, false, true, true]);
        // A user's own group has the number of the user.
        assert_eq!(is_open(0o664), own.gid() != 0 && own.gid() != own.uid());
        if !rustix::process::geteuid().is_root() {
            skip_test::skip("owners", "needs root");
            return;
        }
        for (user, group, expected) in [
            (0, 0, false),
            (7, 0, false),
            (7, 7, false),
            (0, 65534, true),
            (7, 8, true),
            (0, 7, true),
        ] {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            assert_eq!(is_open(0o664), expected, "{user}:{group}");
            assert!(!is_open(0o644), "{user}:{group}");
        }
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        // Version 2; the owner rw, user 65534 rw, the group r, all of them at most rw, others none (linux/posix_acl_xattr.h).
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, u32::MAX),
            (2, 6, 65534),
            (4, 4, u32::MAX),
            (16, 6, u32::MAX),
            (32, 0, u32::MAX),
        ];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, allowed, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(allowed.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let flags = rustix::fs::XattrFlags::empty();
        match rustix::fs::setxattr(&path, "system.posix_acl_access", &list, flags) {
            Ok(()) => assert!(open(dir.path()).stamp(OsStr::new("7abcdef")).unwrap().is_open),
            Err(error) => skip_test::skip(
                "acl",
                &format!("needs a file system with access control lists: {error}"),
            ),
        }
    }

    #[test]
    fn a_file_beyond_the_bound_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("7abcdef"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert!(matches!(
            read(&open(dir.path()), "7abcdef"),
            Err(ReadError::TooLarge(_))
        ));
    }

    #[test]
    fn the_directory_itself_may_be_no_link() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("hmon_files")).unwrap();
        let error = Directory::configured(&HostRoots::new("/"), &dir.path().join("hmon_files")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn a_root_whose_tmp_is_a_link_is_refused() {
        let host = tempfile::tempdir().unwrap();
        let processes = Processes::new(&HostRoots::new(host.path()));
        let root = processes.path(7, "root");
        std::fs::create_dir_all(root.join("real/hmon_files")).unwrap();
        symlink("real", root.join("tmp")).unwrap();
        assert!(Directory::in_namespace(&processes, 7).is_err());
        std::fs::remove_file(root.join("tmp")).unwrap();
        std::fs::rename(root.join("real"), root.join("tmp")).unwrap();
        assert!(Directory::in_namespace(&processes, 7).is_ok());
    }

    #[test]
    fn a_removed_directory_is_known_as_such_while_it_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hmon_files");
        std::fs::create_dir(&path).unwrap();
        let directory = open(&path);
        assert!(!directory.is_deleted());
        std::fs::remove_dir(&path).unwrap();
        assert!(directory.is_deleted());
        std::fs::create_dir(&path).unwrap();
        assert_ne!(open(&path).id, directory.id);
    }
}
