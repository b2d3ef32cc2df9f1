//! The memory of the C library's allocator.

/// Lets the allocator return large blocks to the system as soon as they are freed. glibc stops doing so for blocks up to the
/// size of one that was freed, such as the megabytes of the kernel's type information.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "no crate has a safe function for it")
)]
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is affected. The threshold is the initial one; once set, it stays.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}

/// Has all threads share one heap, to be called before there are others: readings are made by one thread and given up by
/// another, and of heaps of their own each would keep what it once needed.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "no crate has a safe function for it")
)]
pub fn share_one() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is affected; heaps that exist already stay.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns free memory among small blocks, of all heaps. Other C libraries than glibc do so on their own.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "no crate has a safe function for it")
)]
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: only memory that is not allocated is affected, and the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
