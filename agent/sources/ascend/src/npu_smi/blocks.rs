//! Parser of `npu-smi info -t TOPIC`: keys and values, in one block for each chip.
//!
//! The line that names the chip is the first of its block for some topics (`common`, `board -c`), the last for others
//! (`usages`, `temp`, `power`, `ecc`). The order within the output shows which.

use super::error::{ParseError, ToolError, check_length};
use super::value::{integer, is_absent};

/// The output of one `npu-smi info -t ...`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// Id of the NPU; some topics do not print it.
    pub npu: Option<u32>,
    /// Number of chips of the NPU; some topics do not print it.
    pub chip_count: Option<u32>,
    /// One for each chip, for the board's controller, or for the whole NPU.
    pub blocks: Vec<Block>,
}

/// Entries for one part of an NPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The part.
    pub part: Part,
    /// Keys and values in the order of the output, as printed.
    pub entries: Vec<(String, String)>,
}

/// A part of an NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chip of this id.
    Chip(u32),
    /// The board's controller, which has the same keys as a chip.
    Mcu,
    /// The NPU as a whole, where no part is named; on a 950 that is its one chip.
    Whole,
}

impl Blocks {
    /// The block for a part.
    pub fn of(&self, part: Part) -> Option<&Block> {
        self.blocks.iter().find(|block| block.part == part)
    }
}

impl Block {
    /// The value of `key`. Blanks and case in the key are ignored, because they differ between versions.
    pub fn text(&self, key: &str) -> Option<&str> {
        let value = &self.entries.iter().find(|(found, _)| same_key(found, key))?.1;
        (!is_absent(value)).then_some(value)
    }

    /// The value of `key` if it is a number.
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

/// Parses the output. A line without a colon continues the value before it.
pub fn blocks(text: &str) -> Result<Blocks, ParseError> {
    check_length(text)?;
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
            found.npu = integer(value).unwrap_or_default();
        } else if same_key(key, "Chip Count") && open.is_empty() && named.is_none() {
            found.chip_count = integer(value).unwrap_or_default();
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
        return Err(ParseError::no_table(text));
    }
    // An error message can contain a colon, too.
    match text.lines().find_map(ToolError::in_line) {
        Some(error) if found.npu.is_none() && found.chip_count.is_none() => Err(error.into()),
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

fn part(key: &str, value: &str) -> Option<Part> {
    if same_key(key, "Chip ID") {
        integer(value).ok().flatten().map(Part::Chip)
    } else {
        // In other topics the same key names a chip's model.
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
