//! Returns memory to the kernel that only the start of a process needed.
//!
//! Most of what is resident of an idle agent is its own program and the C library: code that reads the configuration, loads eBPF programs or
//! connects runs once, and its pages stay mapped until the machine is short of memory. Here they are unmapped. They
//! stay in the kernel's page cache as long as it has room, and return with a minor page fault when they are used again.

pub mod heap;

use std::ffi::c_void;
use std::io;
use std::ptr;

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use rustix::mm::{Advice, madvise};

/// Why nothing could be returned.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The process's own mappings cannot be read.
    #[error("/proc/self/smaps cannot be used")]
    Mappings(#[from] procfs::ProcError),
    /// The kernel refuses the advice, e.g. because the pages are locked.
    #[error("madvise(MADV_DONTNEED)")]
    Advice(#[source] io::Error),
}

/// Returns free pages of the heap, and unmaps the resident pages of the code and constants of the program and its libraries.
pub fn release() -> Result<(), ReleaseError> {
    heap::trim();
    let mut refused = Ok(());
    for mapping in unmodified_mappings()? {
        // The others all the same.
        refused = refused.and(unmap_pages(&mapping));
    }
    refused.map_err(|error| ReleaseError::Advice(error.into()))
}

/// The mappings of the program's file and its libraries' that hold nothing else.
fn unmodified_mappings() -> procfs::ProcResult<impl Iterator<Item = MemoryMap>> {
    let mappings = Process::myself()?.smaps()?.into_iter();
    // Not the memory of a device, which a vendor's library may map.
    let is_file = |mapping: &MemoryMap| matches!(&mapping.pathname, MMapPath::Path(path) if !path.starts_with("/dev"));
    Ok(mappings.filter(move |mapping| is_file(mapping) && is_unmodified(mapping)))
}

/// Whether all pages of a mapping that are in use are those of its file. Others would be lost: relocated data, or code in
/// which a debugger or a uprobe has set a breakpoint.
fn is_unmodified(mapping: &MemoryMap) -> bool {
    let has_none = |field| mapping.extension.map.get(field).is_some_and(|bytes| *bytes == 0);
    mapping.perms.contains(MMPermissions::PRIVATE)
        && !mapping.perms.contains(MMPermissions::WRITE)
        && has_none("Anonymous")
        && has_none("Swap")
}

#[expect(unsafe_code, reason = "madvise(2) on mapped memory")]
fn unmap_pages(mapping: &MemoryMap) -> rustix::io::Result<()> {
    let (start, end) = mapping.address;
    let length = (end - start) as usize;
    let start = ptr::with_exposed_provenance_mut::<c_void>(start as usize);
    // SAFETY: the range is a private, read-only mapping of a file, which exists as long as it is mapped,
    // and has no page that differs from the file: whoever reads it next gets the same bytes from the file.
    unsafe { madvise(start, length, Advice::LinuxDontNeed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident bytes of the file mappings of this program that are not written to.
    fn resident() -> u64 {
        let mappings = unmodified_mappings().unwrap();
        mappings.map(|mapping| mapping.extension.map["Rss"]).sum()
    }

    /// 1 MiB of constants: each word is its index.
    static CONSTANTS: [u64; 1 << 17] = {
        let mut words = [0; 1 << 17];
        let mut index = 0;
        while index < words.len() {
            words[index] = index as u64;
            index += 1;
        }
        words
    };

    #[test]
    fn pages_of_the_program_are_unmapped_and_return_with_the_same_content() {
        let sum = || std::hint::black_box(&CONSTANTS).iter().sum::<u64>();
        let before = sum();
        let touched = resident();
        release().unwrap();
        let released = resident();
        assert!(
            touched >= released + (512 << 10),
            "{touched} bytes resident, then {released}"
        );
        assert_eq!(sum(), before);
        assert!(resident() >= released + (512 << 10));
    }
}
