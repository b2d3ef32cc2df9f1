//! Hailo's drivers: the layouts of the arguments from which launches, model switches and owners are read.

use agent_ebpf::{HAILO_BUFFERS, HAILO_CONTROL, HAILO_LAUNCH, HAILO_MARK, HailoCommand, HailoKey};

use super::super::plain::Plain;
use crate::Device;
use accelscope_hailo_abi::layout::{
    HOST_TO_DEVICE_INTEGRATED, HOST_TO_DEVICE_PCIE, OPCODE_CHANGE_CONTEXT_SWITCH_STATUS,
};
use accelscope_hailo_abi::{Launch, Layout, Line};

/// The table of the layouts: its name in the object, most entries, and their types.
pub(in super::super) const LAYOUT_TABLE: &str = "HAILO";
pub(in super::super) const LAYOUTS: u32 = 128;
pub(in super::super) type LayoutKey = HailoKey;
pub(in super::super) type Layouts = HailoCommand;

#[expect(unsafe_code, reason = "a key that is shared with the programs")]
// SAFETY: `repr(C)`, two numbers of 4 bytes.
unsafe impl Plain for HailoKey {}
#[expect(unsafe_code, reason = "a value that is shared with the programs")]
// SAFETY: `repr(C)`, a number of 4 bytes, then ten of 2.
unsafe impl Plain for HailoCommand {}

const _: () = assert!(size_of::<HailoCommand>() == 4 + 10 * 2);

/// The number of the layouts of a device's driver in the table, from 1; nothing where they are not known.
pub(super) fn number(device: &Device) -> Option<u32> {
    if device.family.name != "hailo" {
        return None;
    }
    let line = Line::of(device.abi.as_deref()?)?.line;
    let index = Line::ALL.iter().position(|known| *known == line)?;
    Some(1 + 2 * index as u32 + u32::from(is_integrated(device)))
}

/// Devices on the chip's own bus number their channels differently.
fn is_integrated(device: &Device) -> bool {
    device.name == "hailo_integrated_nnc" || device.name == "h1x" || device.address.as_deref() == Some("[integrated]")
}

/// The table's entries for such a number ([`arguments`](super::arguments)); none for numbers of other drivers.
pub(in super::super) fn layouts(number: u32) -> Vec<(HailoKey, HailoCommand)> {
    let Some(at) = number.checked_sub(1) else {
        return Vec::new();
    };
    let line = Line::ALL.get(at as usize / 2);
    let inputs = if at % 2 == 1 {
        HOST_TO_DEVICE_INTEGRATED
    } else {
        HOST_TO_DEVICE_PCIE
    };
    let layouts = line.into_iter().flat_map(|line| line.layouts());
    layouts
        .map(|(command, layout)| {
            let entry = match layout {
                Layout::Launch(launch) => of_launch(launch, inputs),
                Layout::FirmwareControl { opcode, .. } => HailoCommand {
                    kind: HAILO_CONTROL,
                    opcode_at: opcode,
                    switch_opcode: OPCODE_CHANGE_CONTEXT_SWITCH_STATUS as u16,
                    ..HailoCommand::default()
                },
                Layout::MarkInUse { .. } => HailoCommand {
                    kind: HAILO_MARK,
                    ..HailoCommand::default()
                },
            };
            (HailoKey { abi: number, command }, entry)
        })
        .collect()
}

fn of_launch(launch: Launch, inputs: u8) -> HailoCommand {
    HailoCommand {
        kind: HAILO_LAUNCH,
        channel_at: launch.channel_index,
        // At the start, followed by the channel; from 5.0.1 on the last but one byte, and the channel is at the start.
        engine_at: if launch.channel_index == 0 { launch.size - 2 } else { 0 },
        count_at: launch.buffers_count,
        buffers_at: launch.buffers,
        stride: launch.buffers_stride,
        size_at: launch.buffer_size,
        most: launch.buffers_max.min(HAILO_BUFFERS),
        inputs: inputs.into(),
        ..HailoCommand::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(version: &str) -> HailoCommand {
        let line = Line::of(version).unwrap().line;
        let index = Line::ALL.iter().position(|known| *known == line).unwrap() as u32;
        let entries = layouts(1 + 2 * index);
        entries
            .into_iter()
            .map(|(_, entry)| entry)
            .find(|entry| entry.kind == HAILO_LAUNCH)
            .unwrap()
    }

    /// The expected offsets were compiled from the headers of those versions.
    #[test]
    fn launches_are_read_where_each_line_has_them() {
        let old = launch("4.17.0");
        assert_eq!(
            (old.engine_at, old.channel_at, old.count_at, old.most, old.inputs),
            (0, 1, 15, 2, 16)
        );
        let new = launch("5.1.0");
        assert_eq!(
            (new.engine_at, new.channel_at, new.count_at, new.buffers_at),
            (147, 0, 9, 10)
        );
        assert_eq!(launch("5.3.0").engine_at, 139);
    }

    #[test]
    fn all_lines_fit_into_the_table() {
        let all: usize = (1..=2 * Line::ALL.len() as u32)
            .map(|number| layouts(number).len())
            .sum();
        assert!(all <= LAYOUTS as usize, "{all}");
        assert_eq!(layouts(0), []);
        assert_eq!(layouts(1000), []);
    }
}
