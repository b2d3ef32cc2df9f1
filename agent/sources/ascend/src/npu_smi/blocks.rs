//! `npu-smi info -t ...`: keys and values, in blocks of one chip each.
//!
//! Whether the line that names the chip stands at the head of its block (`common`, `board -c`) or at its end (`usages`,
//! `temp`, `power`, `ecc`) depends on the topic; the output itself tells, by what comes first.

use super::fault::ToolError;
use super::parser::{MAX_BYTES, ParseError, quoted};
use super::value::{is_absent, whole};

/// The output of one `npu-smi info -t ...`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// The NPU that was asked for; some topics do not repeat it.
    pub npu: Option<u32>,
    /// How many chips the NPU has, where that is told.
    pub chip_count: Option<u32>,
    /// One for each chip, for the board controller, or for the whole NPU.
    pub blocks: Vec<Block>,
}

/// What belongs to one part of an NPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Which part.
    pub part: Part,
    /// Keys with their values in their order, as printed.
    pub entries: Vec<(String, String)>,
}

/// A part of an NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chip of this id.
    Chip(u32),
    /// The board's controller, whose keys are those of a chip and whose values are others.
    Mcu,
    /// No part is named: the NPU as a whole, which on a 950 is its one chip.
    Whole,
}

impl Blocks {
    /// The block of that part.
    pub fn of(&self, part: Part) -> Option<&Block> {
        self.blocks.iter().find(|block| block.part == part)
    }
}

impl Block {
    /// The value of `key`, whose blanks and capitals do not matter: they differ between versions.
    pub fn text(&self, key: &str) -> Option<&str> {
        let value = &self.entries.iter().find(|(found, _)| same_key(found, key))?.1;
        (!is_absent(value)).then_some(value)
    }

    /// The same as a number; absent where it is not one.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.text(key)?.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

fn same_key(a: &str, b: &str) -> bool {
    let letters = |key: &str| -> Vec<u8> {
        let solid = key.bytes().filter(|byte| !byte.is_ascii_whitespace());
        solid.map(|byte| byte.to_ascii_lowercase()).collect()
    };
    letters(a) == letters(b)
}

/// The keys and values of every block. A line without a colon goes on with the value before it.
pub fn blocks(text: &str) -> Result<Blocks, ParseError> {
    if text.len() > MAX_BYTES {
        return Err(ParseError::TooLong { bytes: text.len() });
    }
    let mut found = Blocks::default();
    let mut open: Vec<(String, String)> = Vec::new();
    let mut named: Option<Part> = None;
    let mut name_is_last: Option<bool> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) else {
            if let Some((_, value)) = open.last_mut() {
                value.push(' ');
                value.push_str(line);
            }
            continue;
        };
        if same_key(key, "NPU ID") {
            found.npu = whole(value).unwrap_or_default();
        } else if same_key(key, "Chip Count") && open.is_empty() && named.is_none() {
            found.chip_count = whole(value).unwrap_or_default();
        } else if let Some(part) = part(key, value) {
            if *name_is_last.get_or_insert(!open.is_empty()) {
                found.close(Some(part), &mut open);
            } else {
                found.close(named.replace(part), &mut open);
            }
        } else {
            open.push((key.to_owned(), value.to_owned()));
        }
    }
    found.close(named, &mut open);
    if found.blocks.is_empty() && found.npu.is_none() {
        return Err(fault_in(text));
    }
    // An error text can have a colon in it, too.
    match text.lines().find_map(ToolError::of) {
        Some(fault) if found.npu.is_none() && found.chip_count.is_none() => Err(fault.into()),
        _ => Ok(found),
    }
}

impl Blocks {
    fn close(&mut self, part: Option<Part>, open: &mut Vec<(String, String)>) {
        if !open.is_empty() {
            self.blocks.push(Block {
                part: part.unwrap_or(Part::Whole),
                entries: std::mem::take(open),
            });
        }
    }
}

/// The error that an output without what was looked for tells.
pub(super) fn fault_in(text: &str) -> ParseError {
    match text.lines().find_map(ToolError::of) {
        Some(fault) => fault.into(),
        None => ParseError::NoTable {
            line: text.lines().find(|line| !line.trim().is_empty()).map(quoted),
        },
    }
}

fn part(key: &str, value: &str) -> Option<Part> {
    if same_key(key, "Chip ID") {
        whole(value).ok().flatten().map(Part::Chip)
    } else {
        // Elsewhere the same key names a chip's model.
        (same_key(key, "Chip Name") && value.eq_ignore_ascii_case("mcu")).then_some(Part::Mcu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_at_the_head_and_at_the_end_of_a_block() {
        let head = "NPU ID : 1\nChip Count : 2\nChip ID : 0\nTemperature(C) : 60\n\nChip ID : 1\nTemperature(C) : 59\n\n\
                    Chip Name : mcu\nTemperature(C) : 48\nNPU Real-time Power(W) : 45.2\n";
        let found = blocks(head).unwrap();
        assert_eq!((found.npu, found.chip_count), (Some(1), Some(2)));
        let temperature = |part| found.of(part)?.number("Temperature (C)");
        assert_eq!(temperature(Part::Chip(0)), Some(60.0));
        assert_eq!(temperature(Part::Chip(1)), Some(59.0));
        assert_eq!(temperature(Part::Mcu), Some(48.0));
        let end = "NPU ID : 0\n\nPower(W) : 1.5\nChip ID : 0\n\nPower(W) : NA\nChip ID : 1\n";
        let found = blocks(end).unwrap();
        assert_eq!(found.of(Part::Chip(0)).unwrap().number("Power(W)"), Some(1.5));
        assert_eq!(found.of(Part::Chip(1)).unwrap().number("Power(W)"), None);
    }

    #[test]
    fn a_value_over_two_lines_is_one() {
        let found =
            blocks("Error Code : 80E3A203\nError Information: node type=LPM,\n    event state=abnormal\n").unwrap();
        let information = found.of(Part::Whole).unwrap().text("Error Information");
        assert_eq!(information, Some("node type=LPM, event state=abnormal"));
    }

    #[test]
    fn an_error_is_no_block() {
        let error = blocks("dcmi module initialize failed. ret is -8005\n").unwrap_err();
        assert!(matches!(error, ParseError::Tool(_)), "{error:?}");
        assert_eq!(blocks("").unwrap_err(), ParseError::NoTable { line: None });
    }
}
