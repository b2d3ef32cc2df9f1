//! Parsers of `npu-smi info -l` and `-m`: the lists of cards and of chips.

use super::error::{ParseError, check_length};
use super::value::{integer, is_absent};

/// A card in the list of `info -l`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// NPU id.
    pub npu: u32,
    /// Number of chips; absent on a 950.
    pub chip_count: Option<u32>,
    /// Name of the product, where printed.
    pub product: Option<String>,
    /// Serial number, where printed.
    pub serial: Option<String>,
}

/// A chip or controller in the list of `info -m`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// NPU id of its card.
    pub npu: u32,
    /// Chip id on that card.
    pub chip: u32,
    /// Logical id; a board's controller has none.
    pub logical_id: Option<u32>,
    /// Physical id, where printed.
    pub physical_id: Option<u32>,
    /// Model.
    pub name: String,
}

impl Mapping {
    /// Whether the entry is an NPU: the list includes the boards' controllers.
    pub fn is_npu(&self) -> bool {
        !self.name.eq_ignore_ascii_case("mcu") && self.name != "3559"
    }
}

/// Parses the output of `npu-smi info -l`.
pub fn cards(text: &str) -> Result<Vec<Card>, ParseError> {
    check_length(text)?;
    let mut cards: Vec<Card> = Vec::new();
    let mut has_total = false;
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let text_or_absent = || (!is_absent(value)).then(|| value.to_owned());
        match (key.trim(), cards.last_mut()) {
            ("Total Count" | "Card Count", _) => has_total = true,
            ("NPU ID", _) => {
                if let Ok(Some(npu)) = integer(value) {
                    cards.push(Card { npu, ..Card::default() });
                }
            }
            ("Chip Count", Some(card)) => card.chip_count = integer(value).unwrap_or_default(),
            ("Product Name", Some(card)) => card.product = text_or_absent(),
            ("Serial Number", Some(card)) => card.serial = text_or_absent(),
            _ => {}
        }
    }
    if cards.is_empty() && !has_total {
        return Err(ParseError::no_table(text));
    }
    Ok(cards)
}

/// Parses the output of `npu-smi info -m`.
pub fn mappings(text: &str) -> Result<Vec<Mapping>, ParseError> {
    check_length(text)?;
    let mut lines = text.lines().skip_while(|line| !line.trim().starts_with("NPU ID"));
    let Some(header) = lines.next() else {
        return Err(ParseError::no_table(text));
    };
    let titles: Vec<&str> = columns(header).collect();
    let rows = lines.filter_map(|line| {
        let mut found = Mapping::default();
        let (mut npu, mut chip) = (None, None);
        for (title, value) in titles.iter().zip(columns(line)) {
            let id = || integer(value).unwrap_or_default();
            match *title {
                "NPU ID" => npu = id(),
                "Chip ID" => chip = id(),
                "Chip Logic ID" => found.logical_id = id(),
                "Chip Phy-ID" => found.physical_id = id(),
                "Chip Name" => value.clone_into(&mut found.name),
                _ => {}
            }
        }
        (found.npu, found.chip) = (npu?, chip?);
        Some(found)
    });
    Ok(rows.collect())
}

/// Columns of this list have at least two blanks or a tab between them; a name can have one blank in it.
fn columns(line: &str) -> impl Iterator<Item = &str> {
    let pieces = line.split('\t').flat_map(|piece| piece.split("  "));
    pieces.map(str::trim).filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_distinguished_from_chips() {
        let text =
            "\tNPU ID    Chip ID   Chip Logic ID   Chip Name\n\t4    0    4    Ascend 910B3   \n\t4    1   -   Mcu\n";
        let found = mappings(text).unwrap();
        assert_eq!(found.iter().map(Mapping::is_npu).collect::<Vec<_>>(), [true, false]);
        assert_eq!((found[0].name.as_str(), found[0].logical_id), ("Ascend 910B3", Some(4)));
        assert_eq!(found[1].logical_id, None);
    }

    #[test]
    fn no_card_is_an_error_with_this_meaning() {
        let error = cards("There is no NPU card on this server.\n").unwrap_err();
        assert!(error.to_string().contains("there is no NPU card"), "{error}");
        assert!(mappings("").is_err());
        assert_eq!(cards("Total Count : 0\n").unwrap(), []);
    }
}
