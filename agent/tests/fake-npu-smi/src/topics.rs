//! Output of `npu-smi info -l`, `-m` and `-t common|usages|proc-mem`.

use std::fmt::Write;

use super::layout::Layout;
use super::load::{Chip, chips};
use super::options::Options;

/// The output of `npu-smi info` with these arguments; `None` for an unknown topic.
pub(super) fn topic(options: &Options, arguments: &[&str], second: u64) -> Option<String> {
    let layout = options.family.layout();
    let chips = chips(options, &layout, second);
    match arguments {
        ["-l"] => Some(cards(options, &layout)),
        ["-m"] => Some(mapping(&chips, &layout)),
        ["-t", topic, "-i", npu] => {
            let npu: u32 = npu.parse().ok()?;
            let of_npu = || chips.iter().filter(|chip| chip.npu == npu);
            of_npu().next()?;
            let mut text = entry("NPU ID", &npu.to_string()) + &entry("Chip Count", &layout.chips.to_string()) + "\n";
            for chip in of_npu() {
                text += &match *topic {
                    "proc-mem" => processes(chip) + &entry("Chip ID", &chip.number.to_string()),
                    "common" => entry("Chip ID", &chip.number.to_string()) + &common(chip, &layout),
                    "usages" => usages(chip, &layout) + &entry("Chip ID", &chip.number.to_string()),
                    _ => return None,
                };
                text.push('\n');
            }
            Some(text)
        }
        _ => None,
    }
}

fn entry(key: &str, value: &str) -> String {
    format!("\t{key:<31}: {value}\n")
}

fn cards(options: &Options, layout: &Layout) -> String {
    let mut text = entry("Total Count", &options.cards.to_string());
    for card in 0..options.cards {
        text += "\n";
        text += &entry("NPU ID", &(options.first_npu + card).to_string());
        text += &entry("Chip Count", &layout.chips.to_string());
    }
    text
}

fn mapping(chips: &[Chip], layout: &Layout) -> String {
    let name = layout.name;
    // Formatting into a string cannot fail.
    let mut text = String::new();
    if layout.npu_cell.is_some() {
        writeln!(
            text,
            "{:<16}{:<17}{:<17}{:<21}Chip Name",
            "NPU ID", "Slot ID", "Chip ID", "Chip Phy-ID"
        )
        .ok();
        for Chip { npu, number, index, .. } in chips {
            writeln!(text, "{npu:<16}{npu:<17}{number:<17}{index:<21}{name}").ok();
        }
        return text;
    }
    let is_a3 = layout.second_id == "Phy-ID";
    let column = |text: &str| format!("{text:<31}");
    let row = |ids: [String; 3], name: &str| {
        let physical = if is_a3 { column(&ids[2]) } else { String::new() };
        format!("\t{}{physical}{name}\n", ids.each_ref().map(|id| column(id)).concat())
    };
    text += "\t";
    text += &["NPU ID", "Chip ID", "Chip Logic ID"].map(column).concat();
    text += &if is_a3 { column("Chip Phy-ID") } else { String::new() };
    text += "Chip Name\n";
    for Chip { npu, number, index, .. } in chips {
        let ids = [npu, number, index].map(ToString::to_string);
        text += &row(
            ids,
            &if is_a3 {
                name.to_owned()
            } else {
                format!("Ascend {name}")
            },
        );
        if number + 1 == layout.chips {
            let ids = [npu.to_string(), layout.chips.to_string(), "-".to_owned()];
            text += &row(ids, "Mcu");
        }
    }
    text
}

fn processes(chip: &Chip) -> String {
    if chip.processes.is_empty() {
        return "\tNo process in device.\n".to_owned();
    }
    let lines = chip.processes.iter().map(|(pid, name, memory)| {
        format!("\tProcess id:{pid:<8} Process name:{name:<18} Process memory(MB):{memory}\n")
    });
    lines.collect()
}

fn common(chip: &Chip, layout: &Layout) -> String {
    let limit = layout.hbm.max(layout.ddr).max(1);
    let mut text = entry("Memory Usage Rate(%)", &(chip.used * 100 / limit).to_string());
    text += &entry("Aicore Usage Rate(%)", &chip.percent.to_string());
    text += &entry("Temperature(C)", &chip.celsius.to_string());
    if let Some(watts) = chip.watts {
        text += &entry("NPU Real-time Power(W)", &format!("{watts:.1}"));
    }
    text
}

fn usages(chip: &Chip, layout: &Layout) -> String {
    entry("DDR Capacity(MB)", &layout.ddr.to_string())
        + &entry("HBM Capacity(MB)", &layout.hbm.to_string())
        + &entry("Aicore Usage Rate(%)", &chip.percent.to_string())
}
