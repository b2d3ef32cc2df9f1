// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! NVIDIA's commands whose argument holds another (`nv_ioctl_xfer_t` of `kernel-open/common/inc/nv-ioctl.h`, and
//! `nvidia_ioctl` of `kernel-open/nvidia/nv.c`, github.com/NVIDIA/open-gpu-kernel-modules 595.45.04).

/// Those bits of a command that the driver tells it by: `_IOC_NR`.
pub const NVIDIA_NUMBER: u32 = 0xff;
/// `NV_ESC_IOCTL_XFER_CMD`, for arguments that are longer than a command can say: the argument holds the command (`u32`),
/// the size of its argument (`u32`) and where that is.
pub const NVIDIA_TRANSFER: u32 = 0xd3;
/// The size of that argument, which the driver demands.
pub const NVIDIA_TRANSFER_SIZE: u32 = 16;
/// Largest inner argument (`NV_ABSOLUTE_MAX_IOCTL_SIZE`); the driver refuses more.
pub const NVIDIA_MOST: u32 = 16384;

/// What a transfer is counted as, from what its argument says: the command with the inner number. Nothing where the driver
/// would not take it; then it is the transfer that was called.
#[inline]
pub const fn nvidia_inner(command: u32, inner: u32, size: u32) -> Option<u32> {
    if inner > NVIDIA_NUMBER || size > NVIDIA_MOST {
        return None;
    }
    Some(command & !NVIDIA_NUMBER | inner)
}

/// Whether the argument of a command holds another.
#[inline]
pub const fn is_nvidia_transfer(command: u32) -> bool {
    command & NVIDIA_NUMBER == NVIDIA_TRANSFER && command >> 16 & 0x3fff == NVIDIA_TRANSFER_SIZE
}
