//! Opens paths below a root directory to which others may write, never outside of it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::HostRoots;
use super::answering::ask;
use super::bounded::bounded;

/// A directory as the start of a path, or for `fstat`.
pub const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Attempts to open what is in memory while directories are renamed.
const CACHED_ATTEMPTS: usize = 8;

/// File systems whose files are the kernel's (`include/uapi/linux/magic.h`).
const KERNELS_OWN: &[u32] = &[
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x7472_6163, // tracefs
    0x6462_6720, // debugfs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0xf97c_ff8c, // selinuxfs
    0x5a3c_69f0, // apparmorfs
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6573_5543, // fusectl
    0x4249_4e4d, // binfmt_misc
    0x6e73_6673, // nsfs
];

/// Opens `path` below `root`, with links resolved as for a process with the root directory `root`. Before Linux 5.6,
/// which cannot do that, no link is followed at all.
pub(super) fn open(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    // The root itself.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    resolve(root, path, flags, ResolveFlags::IN_ROOT)
}

/// As [`open`], of what the kernel has in memory alone, so that no file system is asked (Linux 5.12). Before that it may be.
pub(super) fn open_cached(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = |how| rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), how);
    for _ in 0..CACHED_ATTEMPTS {
        match opened(how | ResolveFlags::CACHED) {
            // Something on the way was just renamed, or it is not in memory.
            Err(Errno::AGAIN) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => return open(root, path, flags),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens `path` below `root` without following a link in any of its components.
pub fn open_without_links(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    resolve(root, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// The same, and of nothing that is mounted in or below `root` (Linux 5.6).
pub fn open_on_mount(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    resolve(root, path, flags, how)
}

fn resolve(root: impl AsFd, path: &Path, flags: OFlags, how: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let how = how | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
        // Linux before 5.6, and seccomp profiles older than openat2, which fail it with EPERM.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, path, flags),
        other => other,
    }
}

fn step_by_step(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut at = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty())?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let wanted = if components.peek().is_none() {
            flags | OFlags::CLOEXEC
        } else {
            DIRECTORY
        };
        match component {
            Component::Normal(name) => at = rustix::fs::openat(&at, name, wanted | OFlags::NOFOLLOW, Mode::empty())?,
            Component::CurDir => {}
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(at)
}

impl HostRoots {
    /// The content of the host's regular file `absolute`, at most `most` bytes long. Links resolve within the host's
    /// root; anything but a regular file is refused without being waited for.
    pub fn read(&self, absolute: impl AsRef<Path>, most: usize) -> io::Result<Vec<u8>> {
        // The open of a pipe would block until it has a writer.
        let file = self.open(absolute.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        bounded(File::from(file), most)
    }

    /// As [`read`](Self::read), of a file on a file system of the host's that may not answer: it has
    /// [`PATIENCE`](super::answering::PATIENCE) to.
    pub fn read_answering(&self, absolute: &'static str, most: usize) -> io::Result<Vec<u8>> {
        let roots = self.clone();
        ask(&self.path(absolute), move |_| roots.read(absolute, most))
    }

    /// The host's regular file `absolute`, where it is stored: the kernel's own file systems are refused, in which a reading
    /// may take away what is read (`/proc/kmsg`). Nothing else is opened.
    pub fn open_stored(&self, absolute: impl AsRef<Path>) -> io::Result<File> {
        let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let found = self.open(absolute.as_ref(), OFlags::PATH)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
            return refused("not a regular file");
        }
        let kind = rustix::fs::fstatfs(&found)?.f_type;
        // The type is of 32 bits, and signed on some architectures.
        if KERNELS_OWN.contains(&(kind as u32)) {
            return refused("a file of the kernel");
        }
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(again, flags, Mode::empty())?))
    }

    /// The content of such a file, at most `most` bytes long.
    pub fn read_stored(&self, absolute: impl AsRef<Path>, most: usize) -> io::Result<Vec<u8>> {
        bounded(self.open_stored(absolute)?, most)
    }

    /// The names in the host's directory `absolute`, the first `most` of them. Names that are not UTF-8 are left out.
    pub fn names(&self, absolute: impl AsRef<Path>, most: usize) -> io::Result<Vec<String>> {
        let directory = self.open(absolute.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let names = Dir::new(directory)?.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        Ok(names.filter(|name| name != "." && name != "..").take(most).collect())
    }

    /// A handle (`O_PATH`) of the host's file of any kind at `absolute`: `/proc/self/fd/N` is another name of it. Links resolve
    /// within the host's root.
    pub fn find(&self, absolute: impl AsRef<Path>) -> io::Result<OwnedFd> {
        Ok(self.open(absolute.as_ref(), OFlags::PATH)?)
    }

    pub(super) fn open(&self, absolute: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let root = rustix::fs::open(self.path("/"), DIRECTORY, Mode::empty())?;
        open(root, absolute, flags)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn host() -> (tempfile::TempDir, HostRoots) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("host");
        std::fs::create_dir_all(root.join("var/lib")).unwrap();
        std::fs::write(directory.path().join("secret"), "of another").unwrap();
        let roots = HostRoots::new(root);
        (directory, roots)
    }

    #[test]
    fn a_link_leads_to_where_the_host_has_it_and_not_out_of_its_root() {
        let (_directory, roots) = host();
        std::fs::create_dir(roots.path("/data")).unwrap();
        std::fs::write(roots.path("/data/config"), "moved").unwrap();
        symlink("/data", roots.path("/var/lib/docker")).unwrap();
        symlink("../../../../secret", roots.path("/var/lib/out")).unwrap();
        assert_eq!(roots.read("/var/lib/docker/config", 100).unwrap(), b"moved");
        assert_eq!(
            roots.read("/var/lib/out", 100).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let (_directory, roots) = host();
        std::fs::write(roots.path("/var/lib/plain"), "").unwrap();
        symlink("/var/lib", roots.path("/link")).unwrap();
        let root = File::open(roots.path("/")).unwrap();
        assert!(step_by_step(&root, Path::new("var/lib/plain"), OFlags::RDONLY).is_ok());
        assert!(step_by_step(&root, Path::new("link/plain"), OFlags::RDONLY).is_err());
        assert!(step_by_step(&root, Path::new("var/../../secret"), OFlags::RDONLY).is_err());
        assert!(step_by_step(&root, Path::new("var/lib"), DIRECTORY).is_ok());
    }

    #[test]
    fn a_pipe_is_refused_without_waiting() {
        let (_directory, roots) = host();
        rustix::fs::mkfifoat(rustix::fs::CWD, roots.path("/pipe"), Mode::RWXU).unwrap();
        assert_eq!(
            roots.read("/pipe", 100).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn of_stored_files_only_regular_ones_are_opened_and_none_of_the_kernel() {
        let (_directory, roots) = host();
        std::fs::write(roots.path("/plain"), "text").unwrap();
        assert_eq!(roots.read_stored("/plain", 100).unwrap(), b"text");
        rustix::fs::mkfifoat(rustix::fs::CWD, roots.path("/pipe"), Mode::RWXU).unwrap();
        let machine = HostRoots::new("/");
        for (roots, path) in [
            (&roots, "/pipe"),
            (&roots, "/var"),
            (&machine, "/dev/null"),
            (&machine, "/proc/version"),
            (&machine, "/proc/self/status"),
            (&machine, "/sys/kernel/uevent_seqnum"),
        ] {
            let refused = roots.open_stored(path).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{path}: {refused}");
        }
    }

    #[test]
    fn a_long_file_is_refused_and_a_large_directory_cut() {
        let (_directory, roots) = host();
        std::fs::write(roots.path("/long"), "12345").unwrap();
        assert_eq!(roots.read("/long", 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(roots.names("/", 1).unwrap().len(), 1);
    }
}
