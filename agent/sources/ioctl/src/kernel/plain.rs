//! Types that the agent and the eBPF programs share byte by byte.

use agent_ebpf::{ChannelKey, ErrorKey, Ident, Key, Peek, QuotaKey, Record, Settings, Slot, Watched};

/// A type of a map's keys or values.
///
/// # Safety
/// Every bit pattern is a valid value, and there is no padding.
pub(super) unsafe trait Plain: Copy + 'static {}

// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}
// SAFETY: `repr(C)`, three numbers of 8 bytes, then four of 4.
unsafe impl Plain for Key {}
// SAFETY: `repr(C)`, numbers of 8 bytes only.
unsafe impl Plain for Record {}
// SAFETY: `repr(C)`, a `Key`, two numbers of 4 bytes, two of 8, and 256 bytes.
unsafe impl Plain for Ident {}
// SAFETY: `repr(C)`, two numbers of 8 bytes, four of 4 and one of 8.
unsafe impl Plain for Slot {}
// SAFETY: `repr(C)`, four numbers of 4 bytes.
unsafe impl Plain for Watched {}
// SAFETY: `repr(C)`, two numbers of 4 bytes.
unsafe impl Plain for ErrorKey {}
// SAFETY: `repr(C)`, two numbers of 8 bytes.
unsafe impl Plain for QuotaKey {}
// SAFETY: `repr(C)`, two numbers of 4 bytes.
unsafe impl Plain for ChannelKey {}
// SAFETY: `repr(C)`, two numbers of 8 bytes, two of 4, four of 8, and 1024 bytes.
unsafe impl Plain for Peek {}
// SAFETY: `repr(C)`, numbers of 4 bytes only, those of its parts too.
unsafe impl Plain for Settings {}

// No padding: the sizes are the sums of the fields' sizes.
const _: () = assert!(
    size_of::<Key>() == 3 * 8 + 4 * 4
        && size_of::<Record>() == 24 * 8
        && size_of::<Ident>() == size_of::<Key>() + 2 * 4 + 2 * 8 + agent_ebpf::NAME
        && size_of::<Slot>() == 2 * 8 + 4 * 4 + 2 * 8
        && size_of::<Watched>() == 4 * 4
        && size_of::<Peek>() == 2 * 8 + 2 * 4 + 4 * 8 + agent_ebpf::PEEK_BYTES
);

/// A [`Plain`] type as a key or value of aya's maps, which take `aya::Pod` only; neither that trait nor the shared types
/// are of this crate.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Shared<T>(pub(super) T);

// SAFETY: transparent over a type for which that holds.
unsafe impl<T: Plain> aya::Pod for Shared<T> {}

/// A value of zeros.
pub(super) fn zeroed<T: Plain>() -> T {
    // SAFETY: any bit pattern is a value.
    unsafe { std::mem::zeroed() }
}

/// The bytes of a value.
pub(super) fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: without padding, every byte is initialised; the slice lives no longer than the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}
