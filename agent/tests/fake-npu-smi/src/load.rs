//! State of the chips, as a function of time.

use std::f64::consts::TAU;

use super::layout::Layout;
use super::options::{Fault, Options};

/// State of one chip.
pub(super) struct Chip {
    pub(super) npu: u32,
    pub(super) number: u32,
    /// Index over all cards.
    pub(super) index: u32,
    pub(super) health: &'static str,
    /// Absent at the second chip of a card.
    pub(super) watts: Option<f64>,
    pub(super) celsius: u32,
    pub(super) percent: u32,
    /// Used memory in MB, of the kind that the chip has.
    pub(super) used: u64,
    pub(super) bus: String,
    /// Ids, names and memory in MB of its processes.
    pub(super) processes: Vec<(u32, String, u64)>,
}

/// Period of the load, in seconds.
const PERIOD: u64 = 60;

/// Memory that the device's own system uses, in MB.
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
    let phase = (second % PERIOD) as f64 / PERIOD as f64 + f64::from(chip.index) / f64::from(count);
    let wave = (TAU * phase).sin() / 2.0 + 0.5;
    let mine = options.pids.iter().skip(chip.index as usize).step_by(count as usize);
    chip.processes = mine
        .map(|pid| (*pid, name(*pid), limit / 16 + u64::from(pid % 512)))
        .collect();
    let activity = if chip.processes.is_empty() { 0.0 } else { wave };
    chip.percent = (activity * 100.0).round() as u32;
    chip.celsius = 38 + (activity * 30.0) as u32 + chip.index % 5;
    chip.watts = (chip.number == 0).then(|| 90.0 + (activity * 2000.0).round() / 10.0 + wave.round() / 10.0);
    let in_use: u64 = chip.processes.iter().map(|(.., memory)| memory).sum();
    chip.used = (IDLE.min(limit / 4) + in_use).min(limit);
}

/// Name of a process, as the tool prints it: that of `/proc`, empty if the process cannot be seen.
fn name(pid: u32) -> String {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim().to_owned()
}
