//! Parser of `npu-smi info`: from lines to a [`Table`].

use std::collections::HashSet;

use super::assign::ProcessRow;
use super::column::{Column, Header};
use super::device_row::{DeviceHeaders, Kind};
use super::error::{ParseError, ToolError, check_length, quoted};
use super::line::{Line, has_prefix, is_elided, split_cells, without_colours};
use super::row::{Field, for_each_field};
use super::table::{Chip, Table, count};
use super::value::{is_absent, is_zero_pair};

/// Most cells of a line's prefix: a log may put the time, a level and a name before each line.
const MAX_PREFIX: usize = 4;

/// Parses the output of `npu-smi info`, in time proportional to its length.
///
/// A malformed value is left out and counted in [`Table::skipped`]. It is an error if the tool reported one and listed
/// no chip, printed no table, or one of no known layout.
pub fn parse(text: &str) -> Result<Table, ParseError> {
    check_length(text)?;
    let text = without_colours(text);
    let mut parser = Parser::default();
    let mut scratch = Vec::new();
    for line in text.lines() {
        match Line::of(line) {
            Line::Blank => {}
            Line::Row(row) => {
                parser.first_line.get_or_insert(row);
                split_cells(row, &mut scratch);
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

/// Table to which the current row belongs.
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
    device_headers: DeviceHeaders,
    process_header: Header,
    /// A card's row that awaits its chip's row.
    card: Option<(Chip, &'a str)>,
    /// Number of device tables so far.
    device_tables: u32,
    /// Cells of a log's prefix before the first bar of the current header.
    prefix: usize,
    /// Whether the current header ends with a bar: then a row that does not was cut short.
    is_closed: bool,
    /// The first row of no known layout.
    unknown_row: Option<&'a str>,
    first_line: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn text(&mut self, line: &'a str) {
        // Printed after the tables (the driver's `npu_info_print.c`).
        if line.contains("driver package may not be completely installed") {
            self.table.driver_incomplete = true;
        } else if self.table.error.is_none() {
            self.table.error = ToolError::in_line(line);
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
        self.row_without_prefix(row, &cells[prefix..], prefix);
    }

    fn row_without_prefix(&mut self, row: &'a str, cells: &[&'a str], prefix: usize) {
        if let [only] = cells {
            return self.sentence(row, only);
        }
        if may_be_header(row, cells) && self.header(cells) {
            self.is_closed = row.ends_with('|');
            self.prefix = prefix;
            return;
        }
        match self.section {
            Section::Outside => self.skip_row(row, "row"),
            Section::Devices => self.device(row, cells),
            Section::Processes => self.process(cells, self.is_cut(row)),
        }
    }

    /// Number of the first cells, of a row that does not begin with a bar, that are a log's prefix.
    fn prefix(&self, row: &str, cells: &[&str]) -> usize {
        let is_header = |prefix: &usize| {
            let cells = &cells[*prefix..];
            let is = |header: Header| header.starts_with_id() && (header.has(Column::Npu) || header.has(Column::Bus));
            may_be_header(row, cells) && Header::of(cells).is_some_and(is)
        };
        let last = cells.len().saturating_sub(1);
        if let Some(prefix) = (0..=last.min(MAX_PREFIX)).find(is_header) {
            return prefix;
        }
        let is_sentence = |text: &&str| text.starts_with("npu-smi ") || text.starts_with("No running processes");
        let surplus = |header: &Header| cells.len().saturating_sub(header.cells.len());
        let prefix = match self.section {
            _ if cells.last().is_some_and(is_sentence) => last,
            Section::Outside => 0,
            _ if self.prefix > 0 => self.prefix,
            Section::Devices => surplus(&self.device_headers.card),
            Section::Processes => surplus(&self.process_header).min(1),
        };
        if prefix > last.min(MAX_PREFIX) { 0 } else { prefix }
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
        } else if let Some(error) = ToolError::in_line(text) {
            self.table.error.get_or_insert(error);
        } else {
            self.skip_row(row, "row");
        }
    }

    fn skip_row(&mut self, row: &'a str, reason: &'static str) {
        self.unknown_row.get_or_insert(row);
        count(&mut self.table.skipped, reason);
    }

    /// Parses the row as a header; returns whether it was one.
    fn header(&mut self, cells: &[&str]) -> bool {
        let Some(header) = Header::of(cells).filter(Header::starts_with_id) else {
            return false;
        };
        let (npu, health) = (header.has(Column::Npu), header.has(Column::Health));
        if npu && health {
            self.end_card();
            self.device_tables = self.device_tables.saturating_add(1);
            self.section = Section::Devices;
            self.device_headers = DeviceHeaders {
                card: header,
                chip: Header::default(),
            };
        } else if npu && header.has(Column::ProcessId) {
            self.end_card();
            self.section = Section::Processes;
            self.table.has_process_table = true;
            self.process_header = header;
        } else if npu && self.section != Section::Outside {
            // Another table: its rows are neither devices nor processes.
            self.end_card();
            self.section = Section::Outside;
            return false;
        } else if header.has(Column::Bus) && self.section == Section::Devices {
            self.device_headers.chip = header;
        } else {
            return false;
        }
        true
    }

    fn device(&mut self, row: &'a str, cells: &[&'a str]) {
        let headers = &self.device_headers;
        let realigned = (!headers.is_aligned(cells)).then(|| headers.realign(cells)).flatten();
        let realigned_cells: Vec<&str>;
        let (kind, cells) = match &realigned {
            Some((kind, found)) => {
                realigned_cells = found.iter().map(String::as_str).collect();
                (*kind, realigned_cells.as_slice())
            }
            None => (headers.kind(cells, self.card.is_some()), cells),
        };
        let header = headers.of(kind);
        if header.cells.len() != cells.len() || header.cells.is_empty() {
            return self.skip_row(row, "row");
        }
        let is_cut = self.is_cut(row);
        match kind {
            Kind::Card => {
                let mut card = Chip::default();
                for_each_field(header, cells, is_cut, |column, field| {
                    card.set(column, field, &mut self.table.skipped);
                });
                self.end_card();
                self.card = Some((card, row));
            }
            Kind::Chip => self.chip(cells, is_cut),
        }
    }

    fn chip(&mut self, cells: &[&str], is_cut: bool) {
        let header = &self.device_headers.chip;
        let skipped = &mut self.table.skipped;
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
        for_each_field(header, cells, is_cut, |column, field| {
            // Includes a memory in an unknown unit: a pair that is not zero shows that the read succeeded.
            let is_pair = matches!(field, Field::Item(item) if item.second.is_some());
            if is_pair || matches!(column, Column::Ddr | Column::Hbm) {
                memories += 1;
                empty += u32::from(matches!(field, Field::Item(item) if is_zero_pair(&item)));
            }
            chip.set(column, field, skipped);
        });
        // The tool prints zeros when a read fails, and a chip without any memory is one of which all reads failed.
        if memories > 0 && memories == empty {
            chip.drop_zero_utilization(skipped);
        }
        self.table.chips.push(chip);
    }

    /// Skips a card's row that no chip's row follows.
    fn end_card(&mut self) {
        if let Some((_, row)) = self.card.take() {
            self.skip_row(row, "card_without_chip");
        }
    }

    fn process(&mut self, cells: &[&str], is_cut: bool) {
        let header = &self.process_header;
        let skipped = &mut self.table.skipped;
        let Some(surplus) = cells.len().checked_sub(header.cells.len()) else {
            return count(skipped, "process_row");
        };
        // The name of a process may contain bars.
        let name;
        let joined: Vec<&str>;
        let cells = if surplus == 0 {
            cells
        } else {
            let first = header.cell_of(Column::ProcessName).unwrap_or(0);
            let last = first + surplus;
            name = cells[first..=last].join("|");
            joined = [&cells[..first], &[name.as_str()], &cells[last + 1..]].concat();
            &joined
        };
        let pid = header.cell_of(Column::ProcessId).and_then(|pid| cells.get(pid));
        if pid.is_some_and(|pid| !pid.is_empty() && is_absent(pid)) {
            // The row contains no process.
            return;
        }
        let mut row = ProcessRow::default();
        for_each_field(header, cells, is_cut, |column, field| row.set(column, field, skipped));
        if !header.has(Column::Chip) {
            row.chip = Some(0);
        }
        match row.into_process() {
            Some(process) => self.table.processes.push(process),
            None => count(skipped, "process_row"),
        }
    }

    fn finish(mut self) -> Result<Table, ParseError> {
        self.end_card();
        if self.table.chips.is_empty() {
            if let Some(error) = self.table.error {
                return Err(error.into());
            }
            if let Some(row) = self.unknown_row {
                return Err(ParseError::Layout { line: quoted(row) });
            }
        }
        match self.device_tables {
            0 => Err(ParseError::NoTable {
                line: self.first_line.map(quoted),
            }),
            1 => Ok(self.table),
            _ => {
                self.keep_newest_rows();
                Ok(self.table)
            }
        }
    }

    /// Keeps, of several tables, the newest row of each chip and process.
    fn keep_newest_rows(&mut self) {
        count(&mut self.table.skipped, "table_twice");
        let mut chips = HashSet::new();
        retain_from_end(&mut self.table.chips, |chip| match (chip.npu, chip.chip) {
            (Some(npu), Some(id)) => chips.insert((npu, id)),
            _ => true,
        });
        let mut processes = HashSet::new();
        retain_from_end(&mut self.table.processes, |process| {
            processes.insert((process.npu, process.chip, process.pid))
        });
    }
}

/// `Vec::retain` that visits the last element first.
fn retain_from_end<T>(all: &mut Vec<T>, keep: impl FnMut(&T) -> bool) {
    all.reverse();
    all.retain(keep);
    all.reverse();
}

/// Whether a row begins like a header: with a title and not with a number, or with a blank cell on a 950.
fn may_be_header(row: &str, cells: &[&str]) -> bool {
    match cells.first().and_then(|cell| cell.bytes().next()) {
        Some(first) => matches!(first, b'N' | b'n' | b'C' | b'c'),
        None => row.contains('('),
    }
}
