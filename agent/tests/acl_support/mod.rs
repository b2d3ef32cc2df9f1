//! Access control lists of directories that tests make.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::Path;

use rustix::fs::XattrFlags;
use skip_test::skip;

/// Name of the attribute with the list.
pub(crate) const NAME: &str = "system.posix_acl_access";

/// Lets that user write to a directory by an access control list, beside its owner. Skips the rest of the test, and is false,
/// where the file system has none.
pub(crate) fn let_write(directory: &Path, user: u32) -> bool {
    // Version 2, and entries for the owner, the user, the owning group, the mask and others: rwx rwx r-x rwx r-x
    // (include/uapi/linux/posix_acl_xattr.h).
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [
        (1_u16, 7_u16, u32::MAX),
        (2, 7, user),
        (4, 5, u32::MAX),
        (16, 7, u32::MAX),
        (32, 5, u32::MAX),
    ] {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let has_lists = rustix::fs::setxattr(directory, NAME, &list, XattrFlags::empty()).is_ok();
    if !has_lists {
        skip("acl", "the file system has no access control lists");
    }
    has_lists
}
