//! Layouts of the arguments that describe activity, by line (compiled from the headers, structs packed to 1 byte).

use super::line::Line;

/// Commands of a line with arguments that describe activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HailoAbi {
    /// Versions of the driver.
    pub line: Line,
    /// `VDMA_LAUNCH_TRANSFER`, from 4.17 on; before, user space started the transfers itself.
    pub launch: Option<Launch>,
    /// `VDMA_INTERRUPTS_WAIT`, from 4.14 on.
    pub wait: Option<Wait>,
    /// `FW_CONTROL`.
    pub control: FirmwareControl,
    /// `MARK_AS_IN_USE`.
    pub mark_in_use: MarkInUse,
}

/// `VDMA_LAUNCH_TRANSFER`: a transfer on one channel, readable when the call begins. All offsets and sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// The complete command number.
    pub command: u32,
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

/// `VDMA_INTERRUPTS_WAIT`: the channels with completed transfers, readable when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The complete command number.
    pub command: u32,
    /// Size of the argument.
    pub size: u16,
    /// Layout of the completed transfers, if it is known.
    pub completed: Option<Completed>,
}

/// Completed transfers of a returned wait. All offsets and sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// Offset of `channels_count` (u8).
    pub channels_count: u16,
    /// Offset of the first channel's entry.
    pub entries: u16,
    /// Distance of two entries.
    pub stride: u16,
    /// Capacity of the array of entries.
    pub max: u16,
    /// Offset of the channel's index (u8) in an entry.
    pub channel_index: u16,
    /// Offset of the number of completed transfers (u8) in an entry.
    pub transfers: u16,
    /// Whether 0xff (not active) and 0xfe (error) in place of that number are marks.
    pub marks: bool,
}

/// `FW_CONTROL`: a request to the firmware, readable when the call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirmwareControl {
    /// The complete command number.
    pub command: u32,
    /// Size of the argument in bytes.
    pub size: u16,
    /// Offset in bytes of the request's opcode (u32, big-endian).
    pub opcode: u16,
}

/// `MARK_AS_IN_USE`: a process claims the device until it closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkInUse {
    /// The complete command number.
    pub command: u32,
    /// Size of the argument in bytes.
    pub size: u16,
    /// Offset in bytes of the answer (u8): 1 if another process has claimed the device already. Readable when the call
    /// returns.
    pub in_use: u16,
}

/// Layout of one command's argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `VDMA_LAUNCH_TRANSFER`
    Launch(Launch),
    /// `VDMA_INTERRUPTS_WAIT`
    Wait(Wait),
    /// `FW_CONTROL`
    FirmwareControl(FirmwareControl),
    /// `MARK_AS_IN_USE`
    MarkInUse(MarkInUse),
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

impl HailoAbi {
    /// Layouts of a line. `None` only if the table lacks a command that every line has.
    pub fn of(line: Line) -> Option<Self> {
        Some(Self {
            line,
            launch: launch(line),
            wait: wait(line),
            control: FirmwareControl {
                command: line.command("FW_CONTROL")?,
                size: 1528,
                opcode: 32,
            },
            mark_in_use: MarkInUse {
                command: line.command("MARK_AS_IN_USE")?,
                size: 1,
                in_use: 0,
            },
        })
    }

    /// Layouts of a driver version, and whether that version itself is known.
    pub fn of_version(version: &str) -> Option<(Self, bool)> {
        let matched = Line::of(version)?;
        Some((Self::of(matched.line)?, matched.exact))
    }

    /// Layouts by complete command number, for a map of the eBPF programs.
    pub fn layouts(&self) -> impl Iterator<Item = (u32, Layout)> {
        let launch = self.launch.map(|launch| (launch.command, Layout::Launch(launch)));
        let wait = self.wait.map(|wait| (wait.command, Layout::Wait(wait)));
        launch.into_iter().chain(wait).chain([
            (self.control.command, Layout::FirmwareControl(self.control)),
            (self.mark_in_use.command, Layout::MarkInUse(self.mark_in_use)),
        ])
    }
}

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
        command: line.command("VDMA_LAUNCH_TRANSFER")?,
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

fn wait(line: Line) -> Option<Wait> {
    let counted = Completed {
        channels_count: 12,
        entries: 13,
        stride: 7,
        max: 96,
        channel_index: 1,
        transfers: 3,
        marks: false,
    };
    let marked = Completed {
        stride: 3,
        transfers: 2,
        marks: true,
        ..counted
    };
    let (size, completed) = match line {
        Line::V4_6 | Line::V4_10 => return None,
        Line::V4_14 => (685, None),
        // Its entries contain the last descriptor's index, from which the number of transfers cannot be derived.
        Line::V4_17 => (781, None),
        Line::V4_18 | Line::V4_19 => (685, Some(counted)),
        Line::V4_21 | Line::V4_23 => (301, Some(marked)),
        Line::V5_0_0 | Line::V5_0_1 | Line::V5_1_0 | Line::V5_1_1 | Line::V5_3 => {
            let wide = Completed {
                channels_count: 24,
                entries: 25,
                max: 120,
                ..marked
            };
            (385, Some(wide))
        }
    };
    Some(Wait {
        command: line.command("VDMA_INTERRUPTS_WAIT")?,
        size,
        completed,
    })
}
