//! Output of `npu-smi info`.

use std::fmt::Write;

use super::layout::Layout;
use super::load::{Chip, chips};
use super::options::{Fault, Options};

/// Most processes of a chip that the tool prints.
const MOST_PROCESSES: usize = 8;

/// The output of `npu-smi info` at `second`, deterministically.
pub fn table(options: &Options, second: u64) -> String {
    let layout = options.family.layout();
    let chips = chips(options, &layout, second);
    let mut page = Page {
        text: String::new(),
        layout: &layout,
    };
    page.title();
    page.headers();
    for (place, chip) in chips.iter().enumerate() {
        let is_orphan = options.fault == Fault::Orphan && place == 0;
        page.chip(chip, is_orphan);
        let next = chips.get(place + 1);
        if next.is_some_and(|next| next.npu == chip.npu) {
            page.line('-');
        } else {
            page.ruler('=', &page.device_cells());
        }
    }
    if !layout.processes.is_empty() {
        page.processes(&chips);
    }
    page.text
}

struct Page<'a> {
    text: String,
    layout: &'a Layout,
}

impl Page<'_> {
    fn width(&self) -> usize {
        let Layout { cells, npu_cell, .. } = self.layout;
        cells.iter().sum::<usize>() + 2 + npu_cell.map_or(0, |cell| cell + 1)
    }

    fn device_cells(&self) -> Vec<usize> {
        self.layout.npu_cell.into_iter().chain(self.layout.cells).collect()
    }

    fn ruler(&mut self, dash: char, cells: &[usize]) {
        for cell in cells {
            self.text.push('+');
            self.text.extend(std::iter::repeat_n(dash, *cell));
        }
        self.text.push_str("+\n");
    }

    fn line(&mut self, dash: char) {
        self.ruler(dash, &[self.width()]);
    }

    fn row(&mut self, cells: &[usize], values: &[String]) {
        for (cell, value) in cells.iter().zip(values) {
            let width = cell - 1;
            // Formatting into a string cannot fail.
            write!(self.text, "| {value:<width$}").ok();
        }
        self.text.push_str("|\n");
    }

    fn title(&mut self) {
        let (tool, driver) = self.layout.versions;
        self.line('-');
        let title = format!("npu-smi {tool:<24} Version: {driver}");
        self.row(&[self.width()], &[title]);
    }

    fn ids(&self, first: &str, second: &str) -> String {
        format!("{first:<id$}{second}", id = self.layout.id)
    }

    fn measures(&self, values: [&str; 3]) -> String {
        let [second, third] = self.layout.measures;
        let gap = third - second;
        let [a, b, c] = values;
        format!("{a:<second$}{b:<gap$}{c}")
    }

    fn device_row(&mut self, ids: (&str, &str), middle: &str, measures: [&str; 3]) {
        let cells = self.device_cells();
        let measures = self.measures(measures);
        let mut values = if self.layout.npu_cell.is_some() {
            vec![ids.0.to_owned(), ids.1.to_owned()]
        } else {
            vec![self.ids(ids.0, ids.1)]
        };
        values.extend([middle.to_owned(), measures]);
        self.row(&cells, &values);
    }

    fn headers(&mut self) {
        let cells = self.device_cells();
        let is_five = self.layout.npu_cell.is_some();
        let hugepages = if self.layout.has_hugepages {
            "Hugepages-Usage(page)"
        } else {
            ""
        };
        let hbm = if self.layout.hbm > 0 { "HBM-Usage(MB)" } else { "" };
        let (npu, chip) = if is_five { ("NPU ID", "") } else { ("NPU", "Chip") };
        let busy = if is_five { "NPU Util(%)" } else { "AICore(%)" };
        self.ruler('-', &cells);
        self.device_row((npu, "Name"), "Health", ["Power(W)", "Temp(C)", hugepages]);
        self.device_row((chip, self.layout.second_id), "Bus-Id", [busy, "Memory-Usage(MB)", hbm]);
        self.ruler('=', &cells);
    }

    fn chip(&mut self, chip: &Chip, is_orphan: bool) {
        let layout = self.layout;
        let watts = match chip.watts {
            _ if !layout.has_power => "NA".to_owned(),
            Some(watts) => format!("{watts:.1}"),
            None if chip.number > 0 => "-".to_owned(),
            None => "0.0".to_owned(),
        };
        if !is_orphan {
            let hugepages = if layout.has_hugepages {
                pair(0, 0)
            } else {
                String::new()
            };
            let (npu, celsius) = (chip.npu.to_string(), chip.celsius.to_string());
            self.device_row((&npu, layout.name), chip.health, [&watts, &celsius, &hugepages]);
        }
        let [ddr, hbm] = [layout.ddr, layout.hbm].map(|limit| {
            let limit = if chip.celsius == 0 { 0 } else { limit };
            pair(
                if limit >= layout.hbm {
                    chip.used.min(limit)
                } else {
                    limit / 4
                },
                limit,
            )
        });
        let second = match layout.second_id {
            "" => String::new(),
            _ => chip.index.to_string(),
        };
        let hbm = if layout.hbm > 0 { hbm } else { String::new() };
        let number = if layout.npu_cell.is_some() {
            String::new()
        } else {
            chip.number.to_string()
        };
        let bus = if layout.has_bus { &chip.bus } else { "NA" };
        self.device_row((&number, &second), bus, [&chip.percent.to_string(), &ddr, &hbm]);
    }

    fn processes(&mut self, chips: &[Chip]) {
        let layout = self.layout;
        let first = layout
            .npu_cell
            .map_or(layout.cells[0], |cell| cell + 1 + layout.cells[0]);
        let cells: Vec<usize> = [first, layout.cells[1]]
            .into_iter()
            .chain(layout.processes.iter().copied())
            .collect();
        let has_chip = layout.npu_cell.is_none();
        let ids = if has_chip {
            format!("{:<8}Chip", "NPU")
        } else {
            "NPU ID".to_owned()
        };
        let titles = [
            "Process id",
            "Process name",
            "Process memory(MB)",
            "Process id in container",
        ];
        self.ruler('-', &cells);
        let header: Vec<String> = std::iter::once(ids).chain(titles.map(ToOwned::to_owned)).collect();
        self.row(&cells, &header);
        self.ruler('=', &cells);
        for of_npu in chips.chunk_by(|a, b| a.npu == b.npu) {
            for chip in of_npu {
                for (pid, name, memory) in chip.processes.iter().take(MOST_PROCESSES) {
                    let ids = if has_chip {
                        format!("{:<8}{}", chip.npu, chip.number)
                    } else {
                        chip.npu.to_string()
                    };
                    let values = [ids, pid.to_string(), name.clone(), memory.to_string(), "NA".to_owned()];
                    self.row(&cells, &values);
                }
            }
            if of_npu.iter().all(|chip| chip.processes.is_empty()) {
                let npu = of_npu.first().map_or(0, |chip| chip.npu);
                self.row(&[self.width()], &[format!("No running processes found in NPU {npu}")]);
            }
            self.ruler('=', &cells);
        }
    }
}

/// `used / total` as the tool prints it: the first number touches the slash if it has five digits.
fn pair(used: u64, limit: u64) -> String {
    format!("{used:<5}/ {limit}")
}
