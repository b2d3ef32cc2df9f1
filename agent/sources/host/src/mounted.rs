//! What is mounted on the host: `/proc/1/mountinfo`, else that of the reader.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use procfs::process::MountInfo;

use accelscope_core::host::HostRoots;
use accelscope_core::host::bounded::read_bounded;

/// Limit in bytes of the file, which has some 200 for each mount; a node has thousands of them.
const MAX_BYTES: usize = 4 << 20;

/// Types of file systems that store nothing of their own on a device or server: the kernel's interfaces, memory, images that
/// are always full, and what is stacked on others.
const NO_STORAGE: &[&str] = &[
    "9p_virtio",
    "aufs",
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cramfs",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "erofs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
];

/// Types that ask nobody else than this kernel, so that they are asked first.
const LOCAL: &[&str] = &[
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "reiserfs", "vfat", "xfs",
    "zfs",
];

/// A mounted file system, at the shortest of its mount points.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mounted {
    /// As a path of the host.
    pub(crate) point: PathBuf,
    /// What is mounted, e.g. `/dev/sda1`.
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) is_writable: bool,
    /// Major and minor number of the file system.
    pub(crate) device: (u32, u32),
}

impl Mounted {
    /// Whether only this kernel is asked.
    pub(crate) fn is_local(&self) -> bool {
        LOCAL.contains(&self.kind.as_str())
    }

    /// Whether files have another device number than the file system: subvolumes have.
    pub(crate) fn has_subvolumes(&self) -> bool {
        ["bcachefs", "btrfs"].contains(&self.kind.as_str())
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Local ones first, each once.
    pub(crate) mounted: Vec<Mounted>,
    /// Lines that were not understood.
    pub(crate) malformed: u64,
}

/// The file systems that store something.
pub(crate) fn mounted(roots: &HostRoots) -> io::Result<Found> {
    let proc = roots.proc();
    let text = read_bounded(&proc.join("1/mountinfo"), MAX_BYTES)
        .or_else(|_| read_bounded(&proc.join("self/mountinfo"), MAX_BYTES))?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Found {
    let mut found = Found::default();
    let mut by_device: HashMap<(u32, u32), Mounted> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if kind(line).is_some_and(|kind| NO_STORAGE.iter().any(|none| none.as_bytes() == kind)) {
            continue;
        }
        let Some(one) = mount(line) else {
            found.malformed += 1;
            continue;
        };
        let device = one.device;
        let rank = |one: &Mounted| one.point.as_os_str().len();
        match by_device.get(&device) {
            Some(other) if rank(other) <= rank(&one) => {}
            _ => drop(by_device.insert(device, one)),
        }
    }
    found.mounted = by_device.into_values().collect();
    found
        .mounted
        .sort_by(|a, b| b.is_local().cmp(&a.is_local()).then_with(|| a.point.cmp(&b.point)));
    found
}

/// The type in a line, without the rest of it.
fn kind(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(3).position(|window| window == b" - ")?;
    line[at + 3..].split(|byte| *byte == b' ').next()
}

fn mount(line: &[u8]) -> Option<Mounted> {
    let mount = MountInfo::from_line(&String::from_utf8_lossy(line)).ok()?;
    let (major, minor) = mount.majmin.split_once(':')?;
    // Its bytes, which may be no UTF-8 (proc_pid_mountinfo(5), field 5).
    let point = line.split(|byte| *byte == b' ').nth(4)?;
    let is_read_only = mount.mount_options.contains_key("ro") || mount.super_options.contains_key("ro");
    Some(Mounted {
        point: OsString::from_vec(unescaped(point)).into(),
        source: mount
            .mount_source
            .map(|source| String::from_utf8_lossy(&unescaped(source.as_bytes())).into_owned())
            .unwrap_or_default(),
        kind: mount.fs_type,
        is_writable: !is_read_only,
        device: (major.parse().ok()?, minor.parse().ok()?),
    })
}

/// The kernel writes space, tab, line break and backslash as a backslash and three octal digits (`mangle`, fs/proc_namespace.c).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let octal = match (first, more) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &more[3..] } else { more };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_system_is_found_once_and_those_without_storage_not() {
        let text = b"22 27 0:21 / /proc rw - proc proc rw\n\
            27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda1 rw,discard\n\
            28 27 254:0 /var/lib/kubelet/x /var/lib/kubelet/pods/x rw - ext4 /dev/vda1 rw\n\
            29 27 0:55 / /mnt/a\\040b\\134c ro,nosuid - nfs4 server:/export rw,vers=4.2\n\
            30 27 8:17 / /data rw - xfs /dev/sdb1 ro\n\
            31 27 0:56 / /run rw - tmpfs tmpfs rw\n\
            garbage\n\
            32 27 8:x / /bad rw - xfs /dev/sdc rw\n";
        let found = parse(text);
        let shown: Vec<_> = found
            .mounted
            .iter()
            .map(|one| {
                (
                    one.point.to_str().unwrap(),
                    one.source.as_str(),
                    one.kind.as_str(),
                    one.is_writable,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("/", "/dev/vda1", "ext4", true),
                ("/data", "/dev/sdb1", "xfs", false),
                ("/mnt/a b\\c", "server:/export", "nfs4", false),
            ]
        );
        assert_eq!(found.malformed, 2);
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (text, plain) in [("a\\", "a\\"), ("\\04", "\\04"), ("\\400", "\\400"), ("\\011x", "\tx")] {
            assert_eq!(unescaped(text.as_bytes()), plain.as_bytes());
        }
    }
}
