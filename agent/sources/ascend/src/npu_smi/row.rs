//! A row's pieces, each with the column that its header gives it.

use super::column::{Column, Header};
use super::items::{Item, Items};

/// What stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Text(&'a str),
    Item(Item<'a>),
    /// Something, but it cannot be told which of the columns it belongs to.
    Lost,
}

/// Hands each column of a row to `take`. The row has as many cells as its header. Of one that `is_cut` short, the last
/// word is lost: what is left of a number is another number.
pub(super) fn for_each<'a>(header: &Header, cells: &[&'a str], is_cut: bool, mut take: impl FnMut(Column, Field<'a>)) {
    for (place, (columns, cell)) in header.cells.iter().zip(cells).enumerate() {
        let is_cut = is_cut && place + 1 == cells.len();
        if !columns.is_empty() && columns.iter().all(|column| column.is_measure()) {
            measures(columns, cell, is_cut, &mut take);
        } else {
            words(columns, cell, is_cut, &mut take);
        }
    }
}

/// One word for each column, and the rest for the last.
fn words<'a>(columns: &[Column], cell: &'a str, is_cut: bool, take: &mut impl FnMut(Column, Field<'a>)) {
    let has_name = columns.last().is_some_and(|column| !is_id(*column));
    // More ids than there are titles: any of them could be the one too many.
    if !has_name && cell.split_whitespace().nth(columns.len()).is_some() {
        return columns.iter().for_each(|column| take(*column, Field::Lost));
    }
    let mut rest = cell;
    for (place, column) in columns.iter().enumerate() {
        let last = place + 1 == columns.len();
        let (word, after) = if last {
            (rest, "")
        } else {
            rest.split_once(char::is_whitespace).unwrap_or((rest, ""))
        };
        let is_cut = is_cut && after.is_empty() && !word.is_empty();
        take(*column, if is_cut { Field::Lost } else { Field::Text(word) });
        rest = after.trim_start();
    }
}

const fn is_id(column: Column) -> bool {
    matches!(
        column,
        Column::Npu | Column::Chip | Column::LogicalId | Column::PhysicalId
    )
}

/// By their order where there are as many as columns; else by their shape, as long as that leaves no doubt.
fn measures<'a>(columns: &[Column], cell: &'a str, is_cut: bool, take: &mut impl FnMut(Column, Field<'a>)) {
    let Some(mut items) = Items::of(cell) else {
        return columns.iter().for_each(|column| take(*column, Field::Lost));
    };
    if is_cut {
        items.spoil_last();
    }
    let items = items.as_slice();
    if items.len() == columns.len() {
        let each = columns.iter().zip(items);
        return each.for_each(|(column, item)| take(*column, Field::Item(*item)));
    }
    for pair in [false, true] {
        let columns = || columns.iter().filter(move |column| column.is_pair() == pair);
        let items = || items.iter().filter(move |item| item.second.is_some() == pair);
        if columns().count() == items().count() {
            columns()
                .zip(items())
                .for_each(|(column, item)| take(*column, Field::Item(*item)));
        } else {
            columns().for_each(|column| take(*column, Field::Lost));
        }
    }
}

/// The cells of a row whose bars are not where its header has them: what stands before and after the one word that
/// `is_middle` knows, which is that of the column `middle`.
pub(super) fn mended(
    header: &Header,
    middle: Column,
    cells: &[&str],
    is_middle: impl Fn(&str) -> bool,
) -> Option<Vec<String>> {
    let place = header.cell_of(middle).filter(|place| place + 2 == header.cells.len())?;
    let words: Vec<&str> = cells.iter().flat_map(|cell| cell.split_whitespace()).collect();
    let at = words.iter().position(|word| is_middle(word))?;
    // All but the last cell of the ids hold one word.
    let alone = place.saturating_sub(1).min(at);
    let mut mended: Vec<String> = words[..alone].iter().map(|word| (*word).to_owned()).collect();
    mended.resize(place.saturating_sub(1), String::new());
    mended.extend([
        words[alone..at].join(" "),
        words[at].to_owned(),
        words[at + 1..].join(" "),
    ]);
    (mended.len() == header.cells.len()).then_some(mended)
}

/// How many numbers stand before the first pair: two in a card's row, one in a chip's.
pub(super) fn leading_singles(cell: &str) -> Option<usize> {
    let items = Items::of(cell)?;
    Some(items.as_slice().iter().take_while(|item| item.second.is_none()).count())
}

#[cfg(test)]
mod tests {
    use super::Column::{AiCore, Chip, Ddr, Hbm, Hugepages, Name, Npu, Power, Temperature};
    use super::*;

    fn written(columns: &[Column], cell: &str) -> Vec<(Column, String)> {
        written_cut(columns, cell, false)
    }

    fn written_cut(columns: &[Column], cell: &str, is_cut: bool) -> Vec<(Column, String)> {
        let header = Header {
            cells: vec![columns.to_vec()],
        };
        let mut found = Vec::new();
        for_each(&header, &[cell], is_cut, |column, field| {
            let text = match field {
                Field::Text(text) => text.to_owned(),
                Field::Item(item) => format!("{}/{}", item.first, item.second.unwrap_or_default()),
                Field::Lost => "lost".to_owned(),
            };
            found.push((column, text));
        });
        found
    }

    #[test]
    fn a_name_with_a_blank_stays_whole_and_an_empty_one_is_empty() {
        let columns = [Npu, Name];
        assert_eq!(
            written(&columns, "7  Ascend 910B3"),
            [(Npu, "7".to_owned()), (Name, "Ascend 910B3".to_owned())]
        );
        assert_eq!(written(&columns, "7")[1].1, "");
    }

    #[test]
    fn too_many_ids_are_none() {
        assert_eq!(written(&[Npu, Chip], "0  1")[1].1, "1");
        let lost = [(Npu, "lost".to_owned()), (Chip, "lost".to_owned())];
        assert_eq!(written(&[Npu, Chip], "2 ==> 0 1"), lost);
    }

    #[test]
    fn the_last_word_of_what_was_cut_short_is_lost() {
        let columns = [AiCore, Ddr, Hbm];
        assert_eq!(written_cut(&columns, "7 0 / 0 59718/ 655", true)[2].1, "59718/?");
        assert_eq!(written_cut(&columns, "7 0 / 0 597", true)[2].1, "?/");
        assert_eq!(written_cut(&columns, "7 0 / 0 597", true)[0].1, "7/");
        assert_eq!(written_cut(&[Npu, Name], "0  910", true)[1].1, "lost");
    }

    #[test]
    fn a_missing_number_loses_those_it_could_have_been_and_no_other() {
        let columns = [Power, Temperature, Hugepages];
        assert_eq!(
            written(&columns, "47  15 / 30"),
            [
                (Power, "lost".to_owned()),
                (Temperature, "lost".to_owned()),
                (Hugepages, "15/30".to_owned())
            ]
        );
        let columns = [AiCore, Ddr, Hbm];
        assert_eq!(written(&columns, "0 1 / 2")[0], (AiCore, "0/".to_owned()));
        assert_eq!(written(&columns, "0 1 / 2")[2], (Hbm, "lost".to_owned()));
        assert_eq!(written(&columns, "0 NA 1/2")[2], (Hbm, "1/2".to_owned()), "in order");
    }
}
