// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the arguments of a Hailo driver's calls tell.

/// Key of the hash map `HAILO`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HailoKey {
    /// [`crate::Watched::arguments`].
    pub abi: u32,
    /// The command as passed.
    pub command: u32,
}

/// Where the activity stands in the argument of a Hailo command. Offsets in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HailoCommand {
    /// [`HAILO_LAUNCH`] and so on.
    pub kind: u32,
    /// Offset of the channel's index (`u8`).
    pub channel_at: u16,
    /// Offset of the engine's index (`u8`).
    pub engine_at: u16,
    /// Offset of the number of buffers (`u8`).
    pub count_at: u16,
    /// Offset of the first buffer.
    pub buffers_at: u16,
    /// Distance between buffers.
    pub stride: u16,
    /// Offset of the size (`u32`) in a buffer.
    pub size_at: u16,
    /// Most buffers; never more than [`HAILO_BUFFERS`].
    pub most: u16,
    /// Channels below this are host to device.
    pub inputs: u16,
    /// Offset of the control's opcode (`u32`, big-endian).
    pub opcode_at: u16,
    /// The opcode that switches the model.
    pub switch_opcode: u16,
}

/// Launch of a transfer.
pub const HAILO_LAUNCH: u32 = 1;
/// Firmware control.
pub const HAILO_CONTROL: u32 = 2;
/// Mark as in use.
pub const HAILO_MARK: u32 = 3;
/// Most buffers in one launch, of any driver version.
pub const HAILO_BUFFERS: u16 = 8;

/// What a launch hands over, as it is kept in [`crate::Slot::argument`] until the driver has accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Sum of the buffers' sizes; fewer than 2^36, as at most 8 buffers have sizes of 32 bits.
    pub bytes: u64,
    /// Buffers, at most [`HAILO_BUFFERS`].
    pub buffers: u8,
    /// Engine.
    pub engine: u8,
    /// Channel of the engine.
    pub channel: u8,
    /// Host to device.
    pub input: bool,
}

impl Launch {
    /// As one word.
    #[inline]
    pub const fn pack(self) -> u64 {
        self.bytes
            | (self.buffers as u64) << 40
            | (self.engine as u64) << 44
            | (self.channel as u64) << 52
            | (self.input as u64) << 60
    }

    /// From [`Self::pack`].
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        Self {
            bytes: word & 0xff_ffff_ffff,
            buffers: (word >> 40 & 0xf) as u8,
            engine: (word >> 44) as u8,
            channel: (word >> 52) as u8,
            input: word >> 60 & 1 == 1,
        }
    }
}
