//! Returns memory to the kernel that only the start of a process needed.
//!
//! Most of what is resident of an idle agent is its own program and the C library: code that reads the configuration,
//! loads eBPF programs or connects runs once, and its pages stay mapped until the machine is short of memory. Here they
//! are unmapped. They stay in the kernel's page cache as long as it has room, and return with a minor page fault when
//! they are used again.
//!
//! At its end a process gives back its descriptors ([`descriptors`]).

pub mod descriptors;
pub mod heap;

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr;

use libc::{PF_W, PT_LOAD, dl_iterate_phdr, dl_phdr_info};
use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

/// State of each page of this process: 64 bits in the machine's byte order (Documentation/admin-guide/mm/pagemap.rst).
const PAGE_MAP: &str = "/proc/self/pagemap";
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// Of a file, or shared. A page without it holds something of this process's own: relocated data, or code in which a
/// debugger or a uprobe has set a breakpoint.
const OF_A_FILE: u64 = 1 << 61;

/// Bytes that the kernel maps at once by default (`fault_around_bytes`, mm/memory.c).
const FAULT_AROUND: usize = 64 << 10;
/// Bytes of a mapping after the split, where pages are not larger. Each mapping takes the kernel some 200 bytes
/// (`vm_area_struct`).
const PART: usize = 8 << 10;

/// Why nothing could be returned.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The state of the process's pages cannot be read, e.g. because the program's file grants capabilities (setcap(8)),
    /// so that the process's files in `/proc` belong to root (proc_pid(5)).
    #[error("cannot read {PAGE_MAP}, which may need CAP_DAC_READ_SEARCH")]
    Pages(#[source] io::Error),
    /// The kernel refuses the advice, e.g. because the pages are locked.
    #[error("madvise({0})")]
    Advice(&'static str, #[source] io::Error),
}

/// Returns free pages of the heap, and unmaps the resident pages of the code and constants of the program and its libraries.
pub fn release() -> Result<(), ReleaseError> {
    heap::trim();
    let split = for_each_constant_segment(split);
    let page_map = File::open(PAGE_MAP).map_err(ReleaseError::Pages)?;
    for_each_constant_segment(|segment| release_pages(&page_map, segment)).and(split)
}

/// What is done with each segment, whose pages stay mapped meanwhile.
type Visit<'a> = dyn FnMut(&Range<usize>) + 'a;

/// Visits the code and constants of the program and its libraries, in whole pages. No object is unloaded meanwhile, as the
/// loader holds its lock, so that the addresses stay theirs. A failure does not keep it from the others.
#[expect(unsafe_code, reason = "dl_iterate_phdr(3)")]
fn for_each_constant_segment(
    mut visit: impl FnMut(&Range<usize>) -> Result<(), ReleaseError>,
) -> Result<(), ReleaseError> {
    let mut first = Ok(());
    let mut visit: &mut Visit<'_> = &mut |segment| {
        let done = visit(segment);
        if first.is_ok() {
            first = done;
        }
    };
    // SAFETY: the function is of the required type, and what it gets outlives the call.
    unsafe { dl_iterate_phdr(Some(visit_object), (&raw mut visit).cast()) };
    first
}

#[expect(unsafe_code, reason = "called by dl_iterate_phdr(3)")]
extern "C" fn visit_object(object: *mut dl_phdr_info, _: usize, visit: *mut c_void) -> c_int {
    // SAFETY: `for_each_constant_segment` passes one that nothing else uses during the call.
    let visit = unsafe { &mut *visit.cast::<&mut Visit<'_>>() };
    // SAFETY: the loader describes an object, with an array of as many headers as it says.
    let (base, headers) = unsafe {
        let object = &*object;
        if object.dlpi_phdr.is_null() {
            return 0;
        }
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        (object.dlpi_addr as usize, headers)
    };
    let kernels = address_of_vdso();
    for header in headers {
        if header.p_type == PT_LOAD && header.p_flags & PF_W == 0 {
            let start = base.wrapping_add(header.p_vaddr as usize);
            let end = start.saturating_add(header.p_memsz as usize);
            let segment = start / page_size() * page_size()..end.next_multiple_of(page_size());
            if !segment.contains(&kernels) {
                visit(&segment);
            }
        }
    }
    0
}

/// Where the kernel's own object lies, which has no file (vdso(7)); 0 if there is none.
#[expect(unsafe_code, reason = "getauxval(3)")]
fn address_of_vdso() -> usize {
    // SAFETY: it takes a number and has no other conditions.
    unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) as usize }
}

/// Makes every second part of a segment a mapping of its own. With a page that is used the kernel maps those around it, but
/// none beyond the mapping (`do_fault_around`, mm/memory.c), and less than half of them are used.
///
/// The advice that keeps the parts apart keeps them out of core dumps, which have no pages of files anyway unless that is
/// asked for (core(5)), or a debugger has changed them. The first part, whose headers and build ID are in each dump, is left.
fn split(segment: &Range<usize>) -> Result<(), ReleaseError> {
    for part in every_second_part(segment, page_size()) {
        advise(&part, Advice::LinuxDontDump).map_err(|error| ReleaseError::Advice("MADV_DONTDUMP", error.into()))?;
    }
    Ok(())
}

/// `page` is the bytes of a page: 4 KiB, and on arm64 also 16 or 64 KiB.
fn every_second_part(segment: &Range<usize>, page: usize) -> impl Iterator<Item = Range<usize>> {
    let (part, end) = (PART.max(page), segment.end);
    // No others are mapped with so large a page.
    let parts = if page < FAULT_AROUND {
        segment.start + part..end
    } else {
        0..0
    };
    parts.step_by(2 * part).map(move |start| start..end.min(start + part))
}

/// Unmaps the pages that hold nothing but what is in the file.
fn release_pages(page_map: &File, segment: &Range<usize>) -> Result<(), ReleaseError> {
    let states = states(page_map, segment).map_err(ReleaseError::Pages)?;
    let mut page = segment.start;
    for run in states.chunk_by(|one, other| is_unmodified(*one) == is_unmodified(*other)) {
        let end = page + run.len() * page_size();
        if is_unmodified(run[0]) {
            advise(&(page..end), Advice::LinuxDontNeed)
                .map_err(|error| ReleaseError::Advice("MADV_DONTNEED", error.into()))?;
        }
        page = end;
    }
    Ok(())
}

/// Whether a page is absent, or mapped from the file alone.
const fn is_unmodified(state: u64) -> bool {
    state & (PRESENT | SWAPPED) == 0 || state & (PRESENT | OF_A_FILE) == PRESENT | OF_A_FILE
}

fn states(page_map: &File, segment: &Range<usize>) -> io::Result<Vec<u64>> {
    const BYTES: usize = size_of::<u64>();
    let mut bytes = vec![0; segment.len() / page_size() * BYTES];
    page_map.read_exact_at(&mut bytes, (segment.start / page_size() * BYTES) as u64)?;
    let (states, _) = bytes.as_chunks::<BYTES>();
    Ok(states.iter().map(|state| u64::from_ne_bytes(*state)).collect())
}

#[expect(unsafe_code, reason = "madvise(2) on mapped memory")]
fn advise(range: &Range<usize>, advice: Advice) -> rustix::io::Result<()> {
    let start = ptr::with_exposed_provenance_mut::<c_void>(range.start);
    // SAFETY: the range belongs to an object's constant segment, which stays mapped as long as the loader's lock is held,
    // and both kinds of advice leave its content: pages are unmapped only where they do not differ from the file, so that
    // whoever reads one next gets the same bytes from the file. A page could differ only since its state was read, some
    // microseconds ago, by another thread that just relocates a library's code (DT_TEXTREL), or by a debugger.
    unsafe { madvise(start, range.len(), advice) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Held by each test: both change what is resident of this program.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Resident bytes of the code and constants of this program.
    fn resident() -> usize {
        let (page_map, mut pages) = (File::open(PAGE_MAP).unwrap(), 0);
        let counted = for_each_constant_segment(|segment| {
            let states = states(&page_map, segment).map_err(ReleaseError::Pages)?;
            pages += states.iter().filter(|state| **state & PRESENT != 0).count();
            Ok(())
        });
        counted.unwrap();
        pages * page_size()
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
    fn around_a_page_that_is_used_few_others_are_mapped() {
        let _alone = ALONE.lock();
        let touch = |word: usize| std::hint::black_box(&CONSTANTS)[word];
        release().unwrap();
        let before = resident();
        // One word of each 64 KiB, or of each four pages that are larger than parts.
        let apart = (4 * page_size()).max(64 << 10) / 8;
        let sum: u64 = (0..CONSTANTS.len()).step_by(apart).map(touch).sum();
        assert!(sum > 0);
        let mapped = resident().saturating_sub(before);
        assert!(mapped <= CONSTANTS.len() * 8 / 2, "{mapped} bytes more are resident");
    }

    #[test]
    fn parts_are_whole_pages_of_every_size() {
        for (page, expected) in [(4 << 10, 64), (16 << 10, 32), (64 << 10, 0)] {
            let segment = 5 * page..5 * page + (1 << 20) + page;
            let parts: Vec<_> = every_second_part(&segment, page).collect();
            assert_eq!(parts.len(), expected, "pages of {page} bytes");
            let is_page = |address: &usize| address.is_multiple_of(page);
            let aligned = |part: &Range<usize>| is_page(&part.start) && is_page(&part.end) && !part.is_empty();
            assert!(parts.iter().all(aligned), "pages of {page} bytes: {parts:x?}");
            // Two that touched would be one mapping.
            assert!(parts.windows(2).all(|pair| pair[0].end < pair[1].start));
            // The page with the object's headers stays in core dumps.
            assert!(
                parts
                    .iter()
                    .all(|part| part.start >= segment.start + page && part.end <= segment.end)
            );
        }
    }

    #[test]
    fn what_a_debugger_has_changed_stays() {
        static MARK: [u8; 8] = *b"original";
        let _alone = ALONE.lock();
        // As a breakpoint is set.
        let memory = File::options().read(true).write(true).open("/proc/self/mem").unwrap();
        let at = (&raw const MARK).expose_provenance() as u64;
        if let Err(error) = memory.write_all_at(b"modified", at) {
            eprintln!("SKIPPED: the kernel protects constants from debuggers: {error}");
            return;
        }
        release().unwrap();
        let mut found = [0; 8];
        memory.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, *b"modified");
        memory.write_all_at(b"original", at).unwrap();
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
