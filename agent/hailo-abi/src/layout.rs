//! Layouts of the arguments that describe activity, by line (compiled from the headers, structs packed to 1 byte).

use super::line::Line;

/// `VDMA_LAUNCH_TRANSFER`: a transfer on one channel, readable when the call begins. All offsets and sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Size of the argument.
    pub size: u16,
    /// Offset of `channel_index` (u8). Below [`HOST_TO_DEVICE_PCIE`] the transfer goes to the device.
    pub channel_index: u16,
    /// Offset of `buffers_count` (u8), chosen by the caller: at most [`buffers_max`](Self::buffers_max) are valid.
    pub buffers_count: u16,
    /// Offset of the first buffer.
    pub buffers: u16,
    /// Distance of two buffers.
    pub buffers_stride: u16,
    /// Capacity of the array of buffers.
    pub buffers_max: u16,
    /// Offset of the transferred bytes (u32) in a buffer.
    pub buffer_size: u16,
}

/// Layout of one command's argument. All offsets and sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `VDMA_LAUNCH_TRANSFER`
    Launch(Launch),
    /// `FW_CONTROL`: a request to the firmware, readable when the call begins.
    FirmwareControl {
        /// Size of the argument.
        size: u16,
        /// Offset of the request's opcode (u32, big-endian).
        opcode: u16,
    },
    /// `MARK_AS_IN_USE`: a process claims the device until it closes it.
    MarkInUse {
        /// Size of the argument.
        size: u16,
        /// Offset of the answer (u8): 1 if another process has claimed the device already. Readable when the call returns.
        in_use: u16,
    },
}

/// Channels below this number carry data to the device: all PCIe devices (bitmask 0x0000ffff).
pub const HOST_TO_DEVICE_PCIE: u8 = 16;
/// The same for the integrated device of Hailo-12L.
pub const HOST_TO_DEVICE_INTEGRATED: u8 = 24;

/// `CHANGE_CONTEXT_SWITCH_STATUS`: a network is activated, switched or deactivated. The number is the same from 4.14 to
/// 5.2 (HailoRT `common/include/control_protocol.h`).
pub const OPCODE_CHANGE_CONTEXT_SWITCH_STATUS: u32 = 37;

const BUFFER_STRIDE: u16 = 16;
const BUFFER_SIZE: u16 = 12;

impl Line {
    /// Layouts of the arguments that describe activity, by complete command number.
    pub fn layouts(self) -> impl Iterator<Item = (u32, Layout)> {
        let layouts = [
            ("VDMA_LAUNCH_TRANSFER", launch(self).map(Layout::Launch)),
            ("FW_CONTROL", Some(Layout::FirmwareControl { size: 1528, opcode: 32 })),
            ("MARK_AS_IN_USE", Some(Layout::MarkInUse { size: 1, in_use: 0 })),
        ];
        layouts
            .into_iter()
            .filter_map(move |(name, layout)| Some((self.command(name)?, layout?)))
    }
}

/// From 4.17 on; before, user space started the transfers itself.
fn launch(line: Line) -> Option<Launch> {
    let (size, channel_index, buffers_count, buffers_max) = match line {
        Line::V4_6 | Line::V4_10 | Line::V4_14 => return None,
        Line::V4_17 => (61, 1, 15, 2),
        Line::V4_18 | Line::V4_19 => (65, 1, 15, 2),
        Line::V4_21 | Line::V4_23 => (153, 1, 15, 8),
        Line::V5_0_0 => (154, 1, 16, 8),
        Line::V5_0_1 | Line::V5_1_0 | Line::V5_1_1 => (149, 0, 9, 8),
        Line::V5_3 => (141, 0, 9, 8),
    };
    Some(Launch {
        size,
        channel_index,
        buffers_count,
        // They directly follow their number in every line.
        buffers: buffers_count + 1,
        buffers_stride: BUFFER_STRIDE,
        buffers_max,
        buffer_size: BUFFER_SIZE,
    })
}
