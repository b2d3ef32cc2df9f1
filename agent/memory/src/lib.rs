//! Returns memory to the kernel that only the start of a process needed.
//!
//! Most of what is resident of an idle agent is its own program and the C library: code that reads the configuration, loads eBPF programs or
//! connects runs once, and its pages stay mapped until the machine is short of memory. Here they are unmapped. They
//! stay in the kernel's page cache as long as it has room, and return with a minor page fault when they are used again.

pub mod heap;

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

use libc::{PF_W, PT_LOAD, dl_iterate_phdr, dl_phdr_info};
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
    for_each_unmodified(&mut |mapping| {
        let unmapped = unmap_pages(mapping).map_err(|error| ReleaseError::Advice(error.into()));
        // The others all the same.
        refused = std::mem::replace(&mut refused, Ok(())).and(unmapped);
    })?;
    refused
}

/// What is done with each mapping.
type Visit<'a> = dyn FnMut(&MemoryMap) + 'a;

/// A walk through the objects of which this process consists: the program and its libraries.
struct Walk<'a, 'b> {
    /// Read when the walk has begun.
    mappings: Option<procfs::ProcResult<Vec<MemoryMap>>>,
    visit: &'a mut Visit<'b>,
}

/// Visits the mappings of code and constants that hold nothing but what is in their file. No object is unloaded meanwhile, as
/// the loader holds its lock, so that the addresses stay theirs.
#[expect(unsafe_code, reason = "dl_iterate_phdr(3)")]
fn for_each_unmodified(visit: &mut Visit<'_>) -> procfs::ProcResult<()> {
    let mut walk = Walk { mappings: None, visit };
    // SAFETY: the function is of the required type, and the walk outlives the call.
    unsafe { dl_iterate_phdr(Some(visit_object), (&raw mut walk).cast()) };
    walk.mappings.map_or(Ok(()), |mappings| mappings.map(drop))
}

#[expect(unsafe_code, reason = "called by dl_iterate_phdr(3)")]
extern "C" fn visit_object(object: *mut dl_phdr_info, _: usize, walk: *mut c_void) -> c_int {
    // SAFETY: `for_each_unmodified` passes a walk that nothing else uses during the call.
    let walk = unsafe { &mut *walk.cast::<Walk<'_, '_>>() };
    let read = || Ok(Process::myself()?.smaps()?.into_iter().collect());
    let Ok(mappings) = walk.mappings.get_or_insert_with(read) else {
        return 1;
    };
    // SAFETY: the loader describes an object, with an array of as many headers as it says.
    let (base, headers) = unsafe {
        let object = &*object;
        if object.dlpi_phdr.is_null() {
            return 0;
        }
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (object.dlpi_addr, headers)
    };
    let constant = headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_flags & PF_W == 0);
    for segment in constant {
        let start = base.wrapping_add(segment.p_vaddr);
        let end = start.saturating_add(segment.p_memsz);
        // Of whole pages.
        let is_part = |mapping: &&MemoryMap| mapping.address.0 < end && mapping.address.1 > start;
        for mapping in mappings.iter().filter(is_part).filter(|mapping| is_unmodified(mapping)) {
            (walk.visit)(mapping);
        }
    }
    0
}

/// Whether all pages of a mapping that are in use are those of its file. Others would be lost: relocated data, or code in
/// which a debugger or a uprobe has set a breakpoint.
fn is_unmodified(mapping: &MemoryMap) -> bool {
    let has_none = |field| mapping.extension.map.get(field).is_some_and(|bytes| *bytes == 0);
    matches!(mapping.pathname, MMapPath::Path(_))
        && mapping.perms.contains(MMPermissions::PRIVATE)
        && !mapping.perms.contains(MMPermissions::WRITE)
        && has_none("Anonymous")
        && has_none("Swap")
}

#[expect(unsafe_code, reason = "madvise(2) on mapped memory")]
fn unmap_pages(mapping: &MemoryMap) -> rustix::io::Result<()> {
    let (start, end) = mapping.address;
    let length = (end - start) as usize;
    let start = ptr::with_exposed_provenance_mut::<c_void>(start as usize);
    // SAFETY: the range is a private, read-only mapping of an object's file, which stays as long as the loader's lock is
    // held, and has no page that differs from the file: whoever reads it next gets the same bytes from the file.
    unsafe { madvise(start, length, Advice::LinuxDontNeed) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Held by each test: both change what is resident of this program.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Resident bytes of the file mappings of this program that are not written to.
    fn resident() -> u64 {
        let mut sum = 0;
        for_each_unmodified(&mut |mapping| sum += mapping.extension.map["Rss"]).unwrap();
        sum
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
        let _alone = ALONE.lock();
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

    #[test]
    #[expect(unsafe_code, reason = "dlopen(3)")]
    fn libraries_that_come_and_go_meanwhile_keep_what_is_relocated_in_them() {
        let _alone = ALONE.lock();
        let rounds = std::thread::spawn(|| {
            let mut opened = 0;
            for name in [c"libresolv.so.2", c"libanl.so.1", c"libnss_compat.so.2"].repeat(400) {
                // SAFETY: libraries of the system without effects of their own.
                unsafe {
                    let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
                    if !library.is_null() {
                        opened += 1;
                        libc::dlclose(library);
                    }
                }
            }
            opened
        });
        while !rounds.is_finished() {
            release().unwrap();
        }
        assert!(rounds.join().unwrap() > 0, "no library could be opened");
    }
}
