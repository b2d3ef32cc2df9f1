//! Parser of `npu-smi info -m`: which logical and which physical id each chip has.
//!
//! Its columns differ between generations: a logical id, a physical one, or both (A3). Ids have no blanks in them, and the
//! name, which may have some, is the last column.

use std::collections::BTreeMap;

use super::error::{ParseError, check_length};
use super::line::without_colours;

/// Most chips that are taken; a node has 64 cards or fewer.
const MAX_CHIPS: usize = 1024;

/// Ids of one chip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids {
    /// Number among the chips that the caller sees.
    pub logical: Option<u32>,
    /// Number of its `/dev/davinci<N>`.
    pub physical: Option<u32>,
}

/// Ids by NPU and chip, as the table has these two.
pub type Mapping = BTreeMap<(u32, u32), Ids>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Npu,
    Chip,
    Logical,
    Physical,
    Name,
    Other,
}

/// Titles in lower case, the longer of two with the same start first.
const TITLES: &[(&str, Column)] = &[
    ("npu id", Column::Npu),
    ("card id", Column::Npu),
    ("slot id", Column::Other),
    ("chip logic id", Column::Logical),
    ("chip logical id", Column::Logical),
    ("logic id", Column::Logical),
    ("chip phy-id", Column::Physical),
    ("chip phy id", Column::Physical),
    ("chip physical id", Column::Physical),
    ("phy-id", Column::Physical),
    ("chip id", Column::Chip),
    ("chip name", Column::Name),
];

/// Parses the ids of all chips. What is no chip (a card's controller) is left out, and so are ids that two chips have.
pub fn mapping(text: &str) -> Result<Mapping, ParseError> {
    check_length(text)?;
    let plain = without_colours(text);
    let mut lines = plain.lines();
    let header = lines.find_map(columns).ok_or_else(|| ParseError::no_table(text))?;
    let mut found = Mapping::new();
    for line in lines {
        if let Some((place, ids)) = row(&header, line)
            && found.len() < MAX_CHIPS
        {
            // A chip in two rows with different ids has none that is known.
            let known = found.entry(place).or_insert(ids);
            if *known != ids {
                *known = Ids::default();
            }
        }
    }
    drop_shared(&mut found, |ids| &mut ids.logical);
    drop_shared(&mut found, |ids| &mut ids.physical);
    Ok(found)
}

fn columns(line: &str) -> Option<Vec<Column>> {
    let lower = line.to_ascii_lowercase();
    let mut rest = lower.trim();
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let (title, column) = TITLES.iter().find(|(title, _)| rest.starts_with(title))?;
        columns.push(*column);
        rest = rest[title.len()..].trim_start();
    }
    let is_mapping = columns.contains(&Column::Npu) && columns.contains(&Column::Chip);
    is_mapping.then_some(columns)
}

fn row(header: &[Column], line: &str) -> Option<((u32, u32), Ids)> {
    let mut words = line.split_whitespace();
    let (mut npu, mut chip, mut ids) = (None, None, Ids::default());
    for column in header {
        if *column == Column::Name {
            let name = words.next().unwrap_or_default();
            // The controller of the card, and its processor.
            if name.eq_ignore_ascii_case("mcu") || name == "3559" {
                return None;
            }
            break;
        }
        let word = words.next()?;
        match column {
            Column::Npu => npu = Some(word.parse().ok()?),
            Column::Chip => chip = Some(word.parse().ok()?),
            Column::Logical => ids.logical = word.parse().ok(),
            Column::Physical => ids.physical = word.parse().ok(),
            Column::Name | Column::Other => {}
        }
    }
    Some(((npu?, chip?), ids))
}

fn drop_shared(found: &mut Mapping, id: fn(&mut Ids) -> &mut Option<u32>) {
    let mut counts = BTreeMap::new();
    for ids in found.values_mut() {
        if let Some(id) = *id(ids) {
            *counts.entry(id).or_insert(0) += 1;
        }
    }
    for ids in found.values_mut() {
        let id = id(ids);
        if id.is_some_and(|id| counts[&id] > 1) {
            *id = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = ((u32, u32), Option<u32>, Option<u32>);

    fn ids(text: &str) -> Vec<Row> {
        let found = mapping(text).unwrap();
        found
            .into_iter()
            .map(|(place, ids)| (place, ids.logical, ids.physical))
            .collect()
    }

    #[test]
    fn an_a3_has_both_ids_and_a_controller_that_is_no_chip() {
        let text = "    NPU ID      Chip ID     Chip Logic ID    Chip Phy-ID      Chip Name\n\
                    \x20   0           0           0                0                Ascend910\n\
                    \x20   0           1           1                1                Ascend910\n\
                    \x20   0           2           -                -                Mcu\n\
                    \x20   1           0           2                6                Ascend910\n";
        let expected = [
            ((0, 0), Some(0), Some(0)),
            ((0, 1), Some(1), Some(1)),
            ((1, 0), Some(2), Some(6)),
        ];
        assert_eq!(ids(text), expected);
    }

    #[test]
    fn each_generation_has_its_columns() {
        let logical =
            "\tNPU ID   Chip ID   Chip Logic ID   Chip Name   \n\t8   0   0   Ascend 910B3  \n\t8   1   -   Mcu  \n";
        assert_eq!(ids(logical), [((8, 0), Some(0), None)]);
        let physical = "NPU ID  Slot ID  Chip ID  Chip Phy-ID  Chip Name\n3   1   0   5   xxx\n";
        assert_eq!(ids(physical), [((3, 0), None, Some(5))]);
        let coloured = format!("\u{1b}[1mnoise\u{1b}[0m\n{physical}");
        assert_eq!(ids(&coloured), [((3, 0), None, Some(5))]);
    }

    #[test]
    fn ids_of_two_chips_and_damaged_rows_are_no_ids() {
        let header = "NPU ID Chip ID Chip Logic ID Chip Phy-ID Chip Name\n";
        let shared = format!("{header}0 0 0 4 a\n1 0 1 4 a\n2 0 2 5 a\n");
        assert_eq!(
            ids(&shared),
            [
                ((0, 0), Some(0), None),
                ((1, 0), Some(1), None),
                ((2, 0), Some(2), Some(5))
            ]
        );
        let twice = format!("{header}0 0 0 4 a\n0 0 1 5 a\n");
        assert_eq!(ids(&twice), [((0, 0), None, None)]);
        let damaged = format!("{header}x 0 0 4 a\n0\n-1 0 0 0 a\n99999999999 0 0 1 a\n1 0 NA 7 a\n");
        assert_eq!(ids(&damaged), [((1, 0), None, Some(7))]);
        assert!(mapping("There is no NPU card on this server.\n").is_err());
        assert!(mapping("").is_err());
    }
}
