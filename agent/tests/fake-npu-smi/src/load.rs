//! What the chips do: it moves, and is the same at the same moment.

use std::f64::consts::TAU;

use super::layout::Layout;
use super::options::{Fault, Options};

/// One chip at one moment.
pub(super) struct Chip {
    pub(super) npu: u32,
    pub(super) number: u32,
    /// Counted over all cards.
    pub(super) index: u32,
    pub(super) health: &'static str,
    /// Absent at the second chip of a card.
    pub(super) watts: Option<f64>,
    pub(super) celsius: u32,
    pub(super) percent: u32,
    /// Used memory in MB, of whichever kind it has.
    pub(super) used: u64,
    pub(super) bus: String,
    /// Their ids, names and memory in MB.
    pub(super) processes: Vec<(u32, String, u64)>,
}

/// Seconds in one swing of the load.
const SWING: u64 = 60;

/// MB that the device's own system uses.
const IDLE: u64 = 3300;

pub(super) fn chips(options: &Options, layout: &Layout, second: u64) -> Vec<Chip> {
    let count = options.cards * layout.chips;
    let each = (0..count).map(|index| {
        let (card, number) = (index / layout.chips, index % layout.chips);
        let mut chip = Chip {
            npu: options.first_npu + card,
            number,
            index,
            health: "OK",
            watts: None,
            celsius: 0,
            percent: 0,
            used: 0,
            bus: format!("0000:{:02X}:00.0", 0x80_u32.wrapping_add(index * 2) & 0xff),
            processes: Vec::new(),
        };
        if options.fault != Fault::Zeros {
            load(&mut chip, options, layout, second, count);
        }
        chip
    });
    each.collect()
}

fn load(chip: &mut Chip, options: &Options, layout: &Layout, second: u64, count: u32) {
    let limit = layout.hbm.max(layout.ddr);
    let phase = (second % SWING) as f64 / SWING as f64 + f64::from(chip.index) / f64::from(count);
    let swing = (TAU * phase).sin() / 2.0 + 0.5;
    let mine = options.pids.iter().skip(chip.index as usize).step_by(count as usize);
    chip.processes = mine
        .map(|pid| (*pid, name(*pid), limit / 16 + u64::from(pid % 512)))
        .collect();
    let activity = if chip.processes.is_empty() { 0.0 } else { swing };
    chip.percent = (activity * 100.0).round() as u32;
    chip.celsius = 38 + (activity * 30.0) as u32 + chip.index % 5;
    chip.watts = (chip.number == 0).then(|| 90.0 + (activity * 2000.0).round() / 10.0 + swing.round() / 10.0);
    let in_use: u64 = chip.processes.iter().map(|(.., memory)| memory).sum();
    chip.used = (IDLE.min(limit / 4) + in_use).min(limit);
}

/// As the tool does: what `/proc/<pid>/status` says, and nothing where the process cannot be seen.
fn name(pid: u32) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim().to_owned()
}
