//! Fields of a row: its pieces, each with its column.

use super::column::{Column, Header};
use super::items::{Item, Items};

/// Content of one column in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Text(&'a str),
    Item(Item<'a>),
    /// Which piece of the row belongs to the column is ambiguous.
    Ambiguous,
}

/// Calls `take` for each column of a row, which must have as many cells as its header. The last word of a row that
/// `is_cut` short is discarded: a part of a number is another number.
pub(super) fn for_each_field<'a>(
    header: &Header,
    cells: &[&'a str],
    is_cut: bool,
    mut take: impl FnMut(Column, Field<'a>),
) {
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
    // More ids than titles: any of them could be the surplus one.
    if !has_name && cell.split_whitespace().nth(columns.len()).is_some() {
        return columns.iter().for_each(|column| take(*column, Field::Ambiguous));
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
        take(*column, if is_cut { Field::Ambiguous } else { Field::Text(word) });
        rest = after.trim_start();
    }
}

const fn is_id(column: Column) -> bool {
    matches!(
        column,
        Column::Npu | Column::Chip | Column::LogicalId | Column::PhysicalId
    )
}

/// One number or pair for each column: by order if there are as many as columns, else by kind if that is unambiguous.
fn measures<'a>(columns: &[Column], cell: &'a str, is_cut: bool, take: &mut impl FnMut(Column, Field<'a>)) {
    let Some(mut items) = Items::of(cell) else {
        return columns.iter().for_each(|column| take(*column, Field::Ambiguous));
    };
    if is_cut {
        items.invalidate_last();
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
            columns().for_each(|column| take(*column, Field::Ambiguous));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Column::{AiCore, Chip, Ddr, Hbm, Hugepages, Name, Npu, Power, Temperature};
    use super::*;

    fn fields(columns: &[Column], cell: &str) -> Vec<(Column, String)> {
        fields_cut(columns, cell, false)
    }

    fn fields_cut(columns: &[Column], cell: &str, is_cut: bool) -> Vec<(Column, String)> {
        let header = Header {
            cells: vec![columns.to_vec()],
        };
        let mut found = Vec::new();
        for_each_field(&header, &[cell], is_cut, |column, field| {
            let text = match field {
                Field::Text(text) => text.to_owned(),
                Field::Item(item) => format!("{}/{}", item.first, item.second.unwrap_or_default()),
                Field::Ambiguous => "ambiguous".to_owned(),
            };
            found.push((column, text));
        });
        found
    }

    #[test]
    fn a_name_with_a_blank_stays_whole_and_an_empty_one_is_empty() {
        let columns = [Npu, Name];
        assert_eq!(
            fields(&columns, "7  Ascend 910B3"),
            [(Npu, "7".to_owned()), (Name, "Ascend 910B3".to_owned())]
        );
        assert_eq!(fields(&columns, "7")[1].1, "");
    }

    #[test]
    fn too_many_ids_are_ambiguous() {
        assert_eq!(fields(&[Npu, Chip], "0  1")[1].1, "1");
        let ambiguous = [(Npu, "ambiguous".to_owned()), (Chip, "ambiguous".to_owned())];
        assert_eq!(fields(&[Npu, Chip], "2 ==> 0 1"), ambiguous);
    }

    #[test]
    fn the_last_word_of_a_truncated_row_is_discarded() {
        let columns = [AiCore, Ddr, Hbm];
        assert_eq!(fields_cut(&columns, "7 0 / 0 59718/ 655", true)[2].1, "59718/?");
        assert_eq!(fields_cut(&columns, "7 0 / 0 597", true)[2].1, "?/");
        assert_eq!(fields_cut(&columns, "7 0 / 0 597", true)[0].1, "7/");
        assert_eq!(fields_cut(&[Npu, Name], "0  910", true)[1].1, "ambiguous");
    }

    #[test]
    fn a_missing_number_makes_only_its_own_kind_ambiguous() {
        let columns = [Power, Temperature, Hugepages];
        assert_eq!(
            fields(&columns, "47  15 / 30"),
            [
                (Power, "ambiguous".to_owned()),
                (Temperature, "ambiguous".to_owned()),
                (Hugepages, "15/30".to_owned())
            ]
        );
        let columns = [AiCore, Ddr, Hbm];
        assert_eq!(fields(&columns, "0 1 / 2")[0], (AiCore, "0/".to_owned()));
        assert_eq!(fields(&columns, "0 1 / 2")[2], (Hbm, "ambiguous".to_owned()));
        assert_eq!(fields(&columns, "0 NA 1/2")[2], (Hbm, "1/2".to_owned()), "in order");
    }
}
