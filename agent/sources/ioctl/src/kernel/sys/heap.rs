//! The allocator's memory.

/// Returns memory that was freed to the system. glibc keeps all of it after large allocations, such as the megabytes of the
/// kernel's type information, because it raises its own limits by them.
pub(in super::super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only memory that is not allocated is affected, and the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
