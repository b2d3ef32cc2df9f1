//! Who else than its owner may write to a file or directory.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::groups;
use super::walk::{Start, is_ours};

/// Bits of a mode: writable by the group and by all.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;

/// Name of the attribute with the access control list, and its form (`include/uapi/linux/posix_acl_xattr.h`): a version of 32
/// bits, then entries of a tag and permissions, 16 bits each, and an id of 32 bits, all with the lowest byte first.
const ACL: &str = "system.posix_acl_access";
const ACL_VERSION: u32 = 2;
const ACL_USER: u16 = 0x02;
const ACL_OWNING_GROUP: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;
const ACL_MASK: u16 = 0x10;
const ACL_WRITE: u16 = 0x02;
/// Longest list that a file system keeps (`XATTR_SIZE_MAX`).
const MAX_ACL: usize = 64 << 10;

/// Others who may write, with what says so and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writers {
    mode: u32,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    All,
    Group(String),
    List(String),
}

impl Writers {
    /// Those beside root, this user and, unless `is_strict`, the members of a group that has none. `above` are the directories
    /// on the way to it.
    pub(super) fn of(
        handle: &OwnedFd,
        stat: &Stat,
        is_strict: bool,
        above: &groups::Roots<'_>,
    ) -> io::Result<Option<Self>> {
        let by = if stat.st_mode & ALL_WRITE != 0 {
            Some(By::All)
        } else if stat.st_mode & GROUP_WRITES == 0 {
            // Of a list too: these bits are what it gives to all but the owner at most (acl(5)).
            None
        } else {
            let others = |group| {
                if is_strict {
                    groups::strictly(group)
                } else {
                    groups::others(group, above)
                }
            };
            match list(handle)? {
                None => others(stat.st_gid).map(By::Group),
                Some(list) => by_list(&list, stat.st_gid, others),
            }
        };
        let mode = stat.st_mode & 0o7777;
        Ok(by.map(|by| Self { mode, by }))
    }

    /// The command that takes the right away.
    pub const fn remedy(&self) -> &'static str {
        match self.by {
            By::All | By::Group(_) => "chmod go-w",
            By::List(_) => "setfacl -b",
        }
    }
}

impl fmt::Display for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:04o}", self.mode)?;
        match &self.by {
            By::All => Ok(()),
            By::Group(group) => write!(f, ", {group}"),
            By::List(who) => write!(f, ", an access control list with {who}"),
        }
    }
}

/// Others who may write to an open file of this machine; `None` where there are none.
pub fn writers(file: &OwnedFd, stat: &Stat) -> io::Result<Option<Writers>> {
    let roots = groups::Roots {
        start: &Start::own(),
        above: &[],
    };
    Writers::of(file, stat, false, &roots)
}

/// Whether a group other than root's may write to it.
pub(super) const fn is_groups(stat: &Stat) -> bool {
    stat.st_mode & GROUP_WRITES != 0 && stat.st_gid != 0
}

/// The access control list of a file; `None` without one.
fn list(handle: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    // A handle that does not open the file has no attributes of its own.
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let mut list = vec![0; MAX_ACL];
    match rustix::fs::getxattr(path, ACL, list.as_mut_slice()) {
        Ok(length) => {
            list.truncate(length);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Who may write by a list, where that is another than root, this user and the members of a group that has none.
fn by_list(list: &[u8], owning: u32, others: impl Fn(u32) -> Option<String>) -> Option<By> {
    let word = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if word(list, 0) != Some(ACL_VERSION) {
        return Some(By::List("entries of an unknown kind".to_owned()));
    }
    let entries = list[4..].chunks_exact(8).map(|entry| {
        let short = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        (short(0), short(2) & ACL_WRITE != 0, word(entry, 4).unwrap_or(u32::MAX))
    });
    let entries: Vec<(u16, bool, u32)> = entries.collect();
    let is_masked = entries.iter().any(|(tag, writes, _)| *tag == ACL_MASK && !writes);
    let writing = entries.iter().filter(|(_, writes, _)| *writes && !is_masked);
    writing.into_iter().find_map(|(tag, _, id)| match *tag {
        ACL_USER => (!is_ours(*id)).then(|| By::List(format!("user {id}"))),
        ACL_GROUP => others(*id).map(By::List),
        ACL_OWNING_GROUP => others(owning).map(By::Group),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = ACL_VERSION.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    #[test]
    fn a_list_names_who_may_write_beside_the_owner() {
        let by = |entries: &[(u16, u16, u32)]| {
            let others = |group| (group == 100).then(|| format!("group {group}"));
            by_list(&acl(entries), 0, others)
        };
        let user = u32::MAX - 1;
        assert_eq!(by(&[(1, 7, 0), (ACL_OWNING_GROUP, 7, 0), (ACL_MASK, 7, 0)]), None);
        assert_eq!(
            by(&[(ACL_USER, 7, user), (ACL_MASK, 7, 0)]),
            Some(By::List(format!("user {user}")))
        );
        assert_eq!(by(&[(ACL_USER, 5, user), (ACL_MASK, 7, 0)]), None, "reads");
        assert_eq!(by(&[(ACL_USER, 7, user), (ACL_MASK, 5, 0)]), None, "masked");
        assert_eq!(by(&[(ACL_USER, 7, 0), (ACL_GROUP, 7, 0)]), None, "root");
        assert_eq!(by(&[(ACL_GROUP, 6, 100)]), Some(By::List("group 100".to_owned())));
        assert!(by_list(b"\x09\0\0\0", 0, |_| None).is_some() && by_list(b"", 0, |_| None).is_some());
    }
}
