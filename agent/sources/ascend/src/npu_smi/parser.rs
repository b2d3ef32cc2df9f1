//! `npu-smi info`: from lines to a table.

use std::borrow::Cow;
use std::collections::HashSet;

use super::column::{Column, Header};
use super::fault::ToolError;
use super::fill::{ProcessRow, count};
use super::line::{Line, cells, has_prefix, is_elided, uncoloured};
use super::row::{Field, for_each, leading_singles, mended};
use super::table::{Chip, Health, Process, Table};
use super::value::{is_absent, is_nothing};

/// Longest output that is looked at. The longest real one, 64 cards of two chips with eight processes each, has 200 KiB.
pub const MAX_BYTES: usize = 4 << 20;

/// Characters of a line that an error quotes.
const QUOTED: usize = 120;

/// Most cells before the first of the table's: a log may put the time, a level and a name before each line.
const MOST_PREFIX: usize = 4;

/// Why an output gave no table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// The tool printed an error instead.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A table of no known layout.
    #[error(
        "this line of npu-smi's table is of no known layout: {line}; please report it with the output of `npu-smi info`"
    )]
    Layout {
        /// The first such line.
        line: String,
    },
    /// No table.
    #[error("npu-smi printed no table{}; run `npu-smi info` by hand", said(.line))]
    NoTable {
        /// The first line that it did print.
        line: Option<String>,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("npu-smi printed {bytes} bytes, more than the {MAX_BYTES} that are looked at")]
    TooLong {
        /// How long.
        bytes: usize,
    },
}

fn said(line: &Option<String>) -> String {
    line.as_ref()
        .map_or_else(|| " and nothing else".to_owned(), |line| format!(" but: {line}"))
}

/// The line for a message: short, and without characters that would upset a terminal.
pub(super) fn quoted(line: &str) -> String {
    let line = line.trim();
    let cut = &line[..line.floor_char_boundary(QUOTED)];
    let printable = cut.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    printable.chain((cut.len() < line.len()).then_some('…')).collect()
}

/// The table that `npu-smi info` printed. Takes time in proportion to its length.
///
/// A value that is not understood is left out and counted in [`Table::skipped`]. An error: the tool told one and no
/// chip, it printed no table, or one of no known layout.
pub fn parse(text: &str) -> Result<Table, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(ParseError::TooLong { bytes: text.len() });
    }
    let text: Cow<'_, str> = uncoloured(text);
    let mut parser = Parser::default();
    let mut scratch = Vec::new();
    for line in text.lines() {
        match Line::of(line) {
            Line::Nothing => {}
            Line::Row(row) => {
                parser.first_line.get_or_insert(row);
                cells(row, &mut scratch);
                parser.row(row, &scratch);
            }
            Line::Text(text) => {
                parser.first_line.get_or_insert(text);
                parser.text(text);
            }
        }
    }
    parser.finish()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Outside,
    Devices,
    Processes,
}

#[derive(Debug, Default)]
struct Parser<'a> {
    table: Table,
    section: Section,
    card_header: Header,
    chip_header: Header,
    process_header: Header,
    /// A card's row whose chip's row has not come yet.
    card: Option<(Chip, &'a str)>,
    /// How many tables of devices there were.
    devices: u32,
    /// Cells before the first bar of its header: the time, or other marks of a log.
    prefix: usize,
    /// Rows of the table end with a bar: one that does not was cut short.
    is_closed: bool,
    strange_row: Option<&'a str>,
    first_line: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn text(&mut self, line: &'a str) {
        // The driver's `npu_info_print.c`, after the tables.
        if line.contains("driver package may not be completely installed") {
            self.table.driver_incomplete = true;
        } else if self.table.fault.is_none() {
            self.table.fault = ToolError::of(line);
        }
    }

    fn row(&mut self, row: &'a str, cells: &[&'a str]) {
        if is_elided(cells)
            || cells
                .last()
                .is_some_and(|cell| cell.ends_with("--+") || cell.ends_with("==+"))
        {
            return;
        }
        let prefix = if has_prefix(row) { self.prefix(row, cells) } else { 0 };
        self.row_of_cells(row, &cells[prefix..], prefix);
    }

    fn row_of_cells(&mut self, row: &'a str, cells: &[&'a str], prefix: usize) {
        if let [only] = cells {
            return self.sentence(row, only);
        }
        if may_be_header(row, cells) && self.header(cells) {
            self.is_closed = row.ends_with('|');
            self.prefix = prefix;
            return;
        }
        match self.section {
            Section::Outside => self.strange(row, "row"),
            Section::Devices => self.device(row, cells),
            Section::Processes => self.process(cells, self.is_cut(row)),
        }
    }

    /// How many of the first cells of a row that does not begin with a bar are none of the table's.
    fn prefix(&self, row: &str, cells: &[&str]) -> usize {
        let is_header = |prefix: &usize| {
            let cells = &cells[*prefix..];
            let is = |header: Header| header.starts_as_one() && (header.has(Column::Npu) || header.has(Column::Bus));
            may_be_header(row, cells) && Header::of(cells).is_some_and(is)
        };
        let last = cells.len().saturating_sub(1);
        if let Some(prefix) = (0..=last.min(MOST_PREFIX)).find(is_header) {
            return prefix;
        }
        let is_sentence = |text: &&str| text.starts_with("npu-smi ") || text.starts_with("No running processes");
        let prefix = match self.section {
            _ if cells.last().is_some_and(is_sentence) => last,
            Section::Outside => 0,
            _ if self.prefix > 0 => self.prefix,
            Section::Devices => cells.len().saturating_sub(self.card_header.cells.len()),
            Section::Processes => cells.len().saturating_sub(self.process_header.cells.len()).min(1),
        };
        if prefix > last.min(MOST_PREFIX) { 0 } else { prefix }
    }

    fn is_cut(&self, row: &str) -> bool {
        self.is_closed && !row.ends_with('|')
    }

    /// A row without inner bars: the title, or a sentence.
    fn sentence(&mut self, row: &'a str, text: &str) {
        if let (Some((_, tool)), Some((_, driver))) = (text.split_once("npu-smi"), text.split_once("Version:")) {
            let word = |text: &str| text.split_whitespace().next().map(ToOwned::to_owned);
            self.table.tool_version = word(tool);
            self.table.driver_version = word(driver);
        } else if text.starts_with("No running processes") {
        } else if let Some(fault) = ToolError::of(text) {
            self.table.fault.get_or_insert(fault);
        } else {
            self.strange(row, "row");
        }
    }

    fn strange(&mut self, row: &'a str, reason: &'static str) {
        self.strange_row.get_or_insert(row);
        count(&mut self.table.skipped, reason);
    }

    /// Whether it was one.
    fn header(&mut self, cells: &[&str]) -> bool {
        let Some(header) = Header::of(cells).filter(Header::starts_as_one) else {
            return false;
        };
        let (npu, health) = (header.has(Column::Npu), header.has(Column::Health));
        if npu && health {
            self.end_card();
            self.devices = self.devices.saturating_add(1);
            self.section = Section::Devices;
            self.card_header = header;
            self.chip_header = Header::default();
        } else if npu && header.has(Column::ProcessId) {
            self.end_card();
            self.section = Section::Processes;
            self.table.tells_processes = true;
            self.process_header = header;
        } else if npu && self.section != Section::Outside {
            // Another table, whose rows are neither devices nor processes.
            self.end_card();
            self.section = Section::Outside;
            return false;
        } else if header.has(Column::Bus) && self.section == Section::Devices {
            self.chip_header = header;
        } else {
            return false;
        }
        true
    }

    fn device(&mut self, row: &'a str, cells: &[&str]) {
        let mended = (!self.is_in_place(cells)).then(|| self.mended(cells)).flatten();
        let mended_cells: Vec<&str>;
        let (is_card, cells) = match &mended {
            Some((is_card, found)) => {
                mended_cells = found.iter().map(String::as_str).collect();
                (*is_card, mended_cells.as_slice())
            }
            None => (self.is_card(cells), cells),
        };
        let header = if is_card { &self.card_header } else { &self.chip_header };
        if header.cells.len() != cells.len() || header.cells.is_empty() {
            return self.strange(row, "row");
        }
        let is_cut = self.is_cut(row);
        let skipped = &mut self.table.skipped;
        if is_card {
            let mut card = Chip::default();
            for_each(header, cells, is_cut, |column, field| card.set(column, field, skipped));
            self.end_card();
            self.card = Some((card, row));
        } else {
            let mut chip = self.card.take().map_or_else(
                || Chip {
                    orphan: true,
                    ..Chip::default()
                },
                |(card, _)| card,
            );
            if !header.has(Column::Chip) {
                chip.chip = Some(0);
            }
            let (mut memories, mut empty) = (0, 0);
            for_each(header, cells, is_cut, |column, field| {
                // Also one in another unit, of which at least it can be seen that it is not nothing.
                let is_pair = matches!(field, Field::Item(item) if item.second.is_some());
                if is_pair || matches!(column, Column::Ddr | Column::Hbm) {
                    memories += 1;
                    empty += u32::from(matches!(field, Field::Item(item) if is_nothing(&item)));
                }
                chip.set(column, field, skipped);
            });
            // The tool prints zeros when a read fails, and a chip without any memory is one that nothing could be read of.
            if memories > 0 && memories == empty {
                chip.forget_failed_utilization(skipped);
            }
            self.table.chips.push(chip);
        }
    }

    /// Whether the one word that tells what a row is stands where its header has it.
    fn is_in_place(&self, cells: &[&str]) -> bool {
        let cell = |header: &Header, column| Some(*cells.get(header.cell_of(column)?)?);
        cells.len() == self.card_header.cells.len()
            && (cell(&self.card_header, Column::Health).is_some_and(|word| Health::of_word(word).is_some())
                || cell(&self.chip_header, Column::Bus)
                    .is_some_and(|bus| bus.contains(':') || (!bus.is_empty() && is_absent(bus))))
    }

    /// The cells of a row whose bars stand elsewhere, and whether it is a card's.
    fn mended(&self, cells: &[&str]) -> Option<(bool, Vec<String>)> {
        let is_health = |word: &str| Health::of_word(word).is_some();
        let card = mended(&self.card_header, Column::Health, cells, is_health).map(|cells| (true, cells));
        let chip = || mended(&self.chip_header, Column::Bus, cells, |word| word.contains(':'));
        card.or_else(|| Some((false, chip()?)))
    }

    /// By what is in it; where that leaves doubt, by what is due.
    fn is_card(&self, cells: &[&str]) -> bool {
        let cell = |header: &Header, column| Some(*cells.get(header.cell_of(column)?)?);
        if cell(&self.card_header, Column::Health).is_some_and(|word| Health::of_word(word).is_some()) {
            return true;
        }
        if cell(&self.chip_header, Column::Bus).is_some_and(|bus| bus.contains(':')) {
            return false;
        }
        // Where the NPU's number has a cell of its own, it is blank in the chip's row.
        if !self.chip_header.has(Column::Chip) && !self.chip_header.cells.is_empty() {
            return cells.first().is_some_and(|first| !first.is_empty());
        }
        match cell(&self.card_header, Column::Power).and_then(leading_singles) {
            Some(1) => false,
            Some(2) => true,
            _ => self.card.is_none(),
        }
    }

    /// A card's row that is followed by no chip's row tells of no chip.
    fn end_card(&mut self) {
        if let Some((_, row)) = self.card.take() {
            self.strange(row, "card_without_chip");
        }
    }

    fn process(&mut self, cells: &[&str], is_cut: bool) {
        let names = self.process_header.cell_of(Column::ProcessName).unwrap_or(0);
        let surplus = cells.len().checked_sub(self.process_header.cells.len());
        let Some(surplus) = surplus else {
            return count(&mut self.table.skipped, "process_row");
        };
        // A process may have bars in its name.
        let whole;
        let mended: Vec<&str>;
        let cells = if surplus == 0 {
            cells
        } else {
            whole = cells[names..=names + surplus].join("|");
            let before = cells[..names].iter().copied().chain([whole.as_str()]);
            mended = before.chain(cells[names + surplus + 1..].iter().copied()).collect();
            &mended
        };
        let pid = self
            .process_header
            .cell_of(Column::ProcessId)
            .and_then(|pid| cells.get(pid));
        if pid.is_some_and(|pid| !pid.is_empty() && is_absent(pid)) {
            // The tool's way of saying that there is none.
            return;
        }
        let mut row = ProcessRow::default();
        let skipped = &mut self.table.skipped;
        for_each(&self.process_header, cells, is_cut, |column, field| {
            row.set(column, field, skipped);
        });
        if !self.process_header.has(Column::Chip) {
            row.chip = Some(0);
        }
        if let (Some(npu), Some(chip), Some(pid)) = (row.npu, row.chip, row.pid.filter(|pid| *pid != 0)) {
            self.table.processes.push(Process {
                npu,
                chip,
                pid,
                pid_in_container: row.pid_in_container,
                name: row.name,
                memory: row.memory,
            });
        } else {
            count(skipped, "process_row");
        }
    }

    fn finish(mut self) -> Result<Table, ParseError> {
        self.end_card();
        if self.table.chips.is_empty() {
            if let Some(fault) = self.table.fault {
                return Err(fault.into());
            }
            if let Some(row) = self.strange_row {
                return Err(ParseError::Layout { line: quoted(row) });
            }
        }
        match self.devices {
            0 => Err(ParseError::NoTable {
                line: self.first_line.map(quoted),
            }),
            1 => Ok(self.table),
            _ => {
                self.forget_older();
                Ok(self.table)
            }
        }
    }

    /// Of several tables, the newest row of each chip and process.
    fn forget_older(&mut self) {
        count(&mut self.table.skipped, "table_twice");
        let mut chips = HashSet::new();
        newest(&mut self.table.chips, |chip| match (chip.npu, chip.chip) {
            (Some(npu), Some(id)) => chips.insert((npu, id)),
            _ => true,
        });
        let mut processes = HashSet::new();
        newest(&mut self.table.processes, |process| {
            processes.insert((process.npu, process.chip, process.pid))
        });
    }
}

/// Those that `is_new` says yes to, asked from the last to the first; in their order.
fn newest<T>(all: &mut Vec<T>, is_new: impl FnMut(&T) -> bool) {
    all.reverse();
    all.retain(is_new);
    all.reverse();
}

/// Headers begin with a title and not with a number, or with nothing where a 950's do.
fn may_be_header(row: &str, cells: &[&str]) -> bool {
    match cells.first().and_then(|cell| cell.bytes().next()) {
        Some(first) => matches!(first, b'N' | b'n' | b'C' | b'c'),
        None => row.contains('('),
    }
}
