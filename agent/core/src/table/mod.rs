//! Sections of the live table: what a source shows of its series to people.

mod cells;
mod lookup;
mod rates;

pub use cells::{absent, decimal, number, owner, percent, process, text, whole};
pub use lookup::Lookup;
pub use rates::Rates;

use crate::metric::Instrument;

/// A section of the live table.
#[derive(Debug)]
pub struct Section {
    /// Its title, in capitals.
    pub title: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// Whether it shows the rate of change of an instrument.
    pub rated: fn(&Instrument) -> bool,
    /// Its rows, a cell a column; the section is left out where there are none.
    pub rows: fn(&Lookup<'_>, &Rates) -> Vec<Vec<String>>,
}

/// A column of a section.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title, in capitals.
    pub title: &'static str,
    /// Whether its cells are numbers, aligned to the right.
    pub is_number: bool,
}

/// A column of names.
pub const fn name(title: &'static str) -> Column {
    Column {
        title,
        is_number: false,
    }
}

/// A column of numbers.
pub const fn value(title: &'static str) -> Column {
    Column { title, is_number: true }
}
