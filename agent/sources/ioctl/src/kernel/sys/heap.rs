//! The allocator's memory.

/// Lets the allocator return large blocks to the system as soon as they are freed. glibc stops doing so for blocks up to the
/// size of one that was freed, such as the megabytes of the kernel's type information.
pub(in super::super) fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is affected. The threshold is the initial one; once set, it stays.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Returns free memory among small blocks.
pub(in super::super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only memory that is not allocated is affected, and the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
