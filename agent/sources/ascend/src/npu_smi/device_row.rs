//! The two kinds of rows of a device table, and the repair of rows with displaced bars.

use super::column::{Column, Header};
use super::items::Items;
use super::table::Health;
use super::value::is_absent;

/// Kind of a row: a chip takes two rows, one of its card and one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Card,
    Chip,
}

/// The two headers of a device table.
#[derive(Debug, Default)]
pub(super) struct DeviceHeaders {
    pub(super) card: Header,
    pub(super) chip: Header,
}

impl DeviceHeaders {
    pub(super) fn of(&self, kind: Kind) -> &Header {
        match kind {
            Kind::Card => &self.card,
            Kind::Chip => &self.chip,
        }
    }

    /// Whether the cells match their header: the card's health or the chip's address is in its cell.
    pub(super) fn is_aligned(&self, cells: &[&str]) -> bool {
        cells.len() == self.card.cells.len()
            && (self.has_health(cells)
                || cell(&self.chip, Column::Bus, cells)
                    .is_some_and(|bus| is_address(bus) || (!bus.is_empty() && is_absent(bus))))
    }

    /// Kind and cells of a row with bars at other positions than in its header.
    pub(super) fn realign(&self, cells: &[&str]) -> Option<(Kind, Vec<String>)> {
        let card = realigned(&self.card, Column::Health, cells, is_health).map(|cells| (Kind::Card, cells));
        card.or_else(|| Some((Kind::Chip, realigned(&self.chip, Column::Bus, cells, is_address)?)))
    }

    /// Kind of a row, by its content; where that is ambiguous, a chip's row is expected after a card's.
    pub(super) fn kind(&self, cells: &[&str], follows_card: bool) -> Kind {
        let is_card = if self.has_health(cells) {
            true
        } else if cell(&self.chip, Column::Bus, cells).is_some_and(is_address) {
            false
        } else if !self.chip.has(Column::Chip) && !self.chip.cells.is_empty() {
            // Where the NPU's number has a cell of its own, it is blank in the chip's row.
            cells.first().is_some_and(|first| !first.is_empty())
        } else {
            match cell(&self.card, Column::Power, cells).and_then(leading_numbers) {
                Some(1) => false,
                Some(2) => true,
                _ => !follows_card,
            }
        };
        if is_card { Kind::Card } else { Kind::Chip }
    }

    fn has_health(&self, cells: &[&str]) -> bool {
        cell(&self.card, Column::Health, cells).is_some_and(is_health)
    }
}

fn cell<'a>(header: &Header, column: Column, cells: &[&'a str]) -> Option<&'a str> {
    cells.get(header.cell_of(column)?).copied()
}

fn is_health(word: &str) -> bool {
    Health::of_word(word).is_some()
}

fn is_address(word: &str) -> bool {
    word.contains(':')
}

/// The words before, at and after the one word that `is_anchor` accepts, which is that of the column `anchor`.
fn realigned(header: &Header, anchor: Column, cells: &[&str], is_anchor: fn(&str) -> bool) -> Option<Vec<String>> {
    let place = header.cell_of(anchor).filter(|place| place + 2 == header.cells.len())?;
    let words: Vec<&str> = cells.iter().flat_map(|cell| cell.split_whitespace()).collect();
    let at = words.iter().position(|word| is_anchor(word))?;
    // All but the last cell before the anchor hold one word.
    let alone = place.saturating_sub(1).min(at);
    let mut realigned: Vec<String> = words[..alone].iter().map(|word| (*word).to_owned()).collect();
    realigned.resize(place.saturating_sub(1), String::new());
    realigned.extend([
        words[alone..at].join(" "),
        words[at].to_owned(),
        words[at + 1..].join(" "),
    ]);
    (realigned.len() == header.cells.len()).then_some(realigned)
}

/// Count of numbers before the first pair: two in a card's row, one in a chip's.
fn leading_numbers(cell: &str) -> Option<usize> {
    let items = Items::of(cell)?;
    Some(items.as_slice().iter().take_while(|item| item.second.is_none()).count())
}
