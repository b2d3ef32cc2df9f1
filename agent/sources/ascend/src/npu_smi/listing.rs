//! `npu-smi info -l` and `-m`: which cards and chips there are.

use super::blocks::fault_in;
use super::parser::{MAX_BYTES, ParseError};
use super::value::{is_absent, whole};

/// A card, as `info -l` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Its NPU id.
    pub npu: u32,
    /// How many chips it has; a 950 does not tell.
    pub chip_count: Option<u32>,
    /// Product, where it is told.
    pub product: Option<String>,
    /// Serial number, where it is told.
    pub serial: Option<String>,
}

/// A chip or controller, as `info -m` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its card.
    pub npu: u32,
    /// Its number there.
    pub chip: u32,
    /// Its logical id; a board's controller has none.
    pub logical_id: Option<u32>,
    /// Its physical id, where it is told.
    pub physical_id: Option<u32>,
    /// Its name.
    pub name: String,
}

impl Mapping {
    /// Whether it computes: the list also has the boards' controllers.
    pub fn is_npu(&self) -> bool {
        !self.name.eq_ignore_ascii_case("mcu") && self.name != "3559"
    }
}

/// The cards that `npu-smi info -l` printed.
pub fn cards(text: &str) -> Result<Vec<Card>, ParseError> {
    bounded(text)?;
    let mut cards: Vec<Card> = Vec::new();
    let mut has_total = false;
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let words = || (!is_absent(value)).then(|| value.to_owned());
        match (key.trim(), cards.last_mut()) {
            ("Total Count" | "Card Count", _) => has_total = true,
            ("NPU ID", _) => {
                if let Ok(Some(npu)) = whole(value) {
                    cards.push(Card { npu, ..Card::default() });
                }
            }
            ("Chip Count", Some(card)) => card.chip_count = whole(value).unwrap_or_default(),
            ("Product Name", Some(card)) => card.product = words(),
            ("Serial Number", Some(card)) => card.serial = words(),
            _ => {}
        }
    }
    if cards.is_empty() && !has_total {
        return Err(fault_in(text));
    }
    Ok(cards)
}

/// The chips that `npu-smi info -m` printed.
pub fn mappings(text: &str) -> Result<Vec<Mapping>, ParseError> {
    bounded(text)?;
    let mut lines = text.lines().skip_while(|line| !line.trim().starts_with("NPU ID"));
    let Some(header) = lines.next() else {
        return Err(fault_in(text));
    };
    let titles: Vec<&str> = columns(header).collect();
    let rows = lines.filter_map(|line| {
        let mut found = Mapping::default();
        let (mut npu, mut chip) = (None, None);
        for (title, value) in titles.iter().zip(columns(line)) {
            let id = || whole(value).unwrap_or_default();
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

fn bounded(text: &str) -> Result<(), ParseError> {
    let bytes = text.len();
    (bytes <= MAX_BYTES).then_some(()).ok_or(ParseError::TooLong { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_told_from_chips() {
        let text =
            "\tNPU ID    Chip ID   Chip Logic ID   Chip Name\n\t4    0    4    Ascend 910B3   \n\t4    1   -   Mcu\n";
        let found = mappings(text).unwrap();
        assert_eq!(found.iter().map(Mapping::is_npu).collect::<Vec<_>>(), [true, false]);
        assert_eq!((found[0].name.as_str(), found[0].logical_id), ("Ascend 910B3", Some(4)));
        assert_eq!(found[1].logical_id, None);
    }

    #[test]
    fn no_card_is_an_error_that_says_so() {
        let error = cards("There is no NPU card on this server.\n").unwrap_err();
        assert!(error.to_string().contains("there is no NPU card"), "{error}");
        assert!(mappings("").is_err());
        assert_eq!(cards("Total Count : 0\n").unwrap(), []);
    }
}
