//! One line of output, without rulers, quotation marks and colours.

use std::borrow::Cow;

/// Kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Blank, a ruler, or the dots of an output that was shortened.
    Blank,
    /// A row between bars.
    Row(&'a str),
    /// Text without bars.
    Text(&'a str),
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let line = without_quote(line);
        if line.is_empty() || is_ruler(line) {
            return Self::Blank;
        }
        let line = without_ruler(line);
        if line.is_empty() {
            Self::Blank
        } else if line.contains('|') {
            Self::Row(line)
        } else {
            Self::Text(line)
        }
    }
}

/// The text without the escape sequences that colour a terminal (`ESC [ ... letter`).
pub(super) fn without_colours(text: &str) -> Cow<'_, str> {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return text.into();
    }
    let mut plain = first.to_owned();
    for part in parts {
        let is_parameter = |character: char| matches!(character, ' '..='?');
        let rest = part.trim_start_matches(is_parameter);
        plain.push_str(rest.strip_prefix(|last: char| last.is_ascii()).unwrap_or(rest));
    }
    plain.into()
}

/// The line without a ruler at its start: if the ruler's line break was lost, the next row follows it.
fn without_ruler(line: &str) -> &str {
    if !line.starts_with('+') {
        return line;
    }
    let rest = line.trim_start_matches(['+', '-', '=']).trim_start();
    if rest.starts_with('|') { rest } else { "" }
}

/// Whether the line is a ruler, which begins and ends with a plus or, in some tables, a bar.
fn is_ruler(line: &str) -> bool {
    let is_part = |byte| matches!(byte, b'-' | b'=' | b'.' | b'+' | b'|');
    line.bytes().all(is_part) && (!line.contains('|') || ["---", "==="].iter().any(|run| line.contains(run)))
}

/// Whether a row that ends with a bar does not begin with one: a log's prefix precedes it, or its first bar was lost.
pub(super) fn has_prefix(row: &str) -> bool {
    !row.starts_with('|') && row.ends_with('|')
}

/// The line without a quotation mark, which logs and documents put before each line.
fn without_quote(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix('>').map_or(line, str::trim_start)
}

/// Splits a row at its bars into `cells`. The outer bars may be missing.
pub(super) fn split_cells<'a>(row: &'a str, cells: &mut Vec<&'a str>) {
    cells.clear();
    let row = row.strip_prefix('|').unwrap_or(row);
    cells.extend(row.split('|').map(str::trim));
    if row.ends_with('|') {
        cells.pop();
    }
}

/// Whether a row is empty or holds only dots in place of others.
pub(super) fn is_elided(cells: &[&str]) -> bool {
    cells.iter().all(|cell| cell.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rulers_and_quotation_marks_are_removed() {
        assert_eq!(Line::of("> +====+----+"), Line::Blank);
        assert_eq!(Line::of("+====+`"), Line::Blank);
        assert_eq!(Line::of("...\r"), Line::Blank);
        assert_eq!(Line::of("|====+====|"), Line::Blank);
        assert_eq!(Line::of("+====+====|"), Line::Blank);
        assert_eq!(Line::of("| - | -- |"), Line::Row("| - | -- |"));
        assert_eq!(Line::of("+----+----+| a | b |"), Line::Row("| a | b |"));
        assert_eq!(Line::of("  > | a | b |\r"), Line::Row("| a | b |"));
        assert_eq!(Line::of("dcmi module"), Line::Text("dcmi module"));
    }

    #[test]
    fn colours_are_removed() {
        assert_eq!(without_colours("\u{1b}[1;32m| a |\u{1b}[0m b\u{1b}[K"), "| a | b");
        assert!(matches!(without_colours("| a |"), Cow::Borrowed("| a |")));
        assert_eq!(without_colours("x\u{1b}["), "x");
        assert_eq!(without_colours("x\u{1b}[31ä"), "xä");
    }

    #[test]
    fn outer_bars_may_be_missing_and_inner_cells_blank() {
        let mut found = Vec::new();
        for row in ["| a | | c |", "a | | c |", "| a | | c", "a||c"] {
            split_cells(row, &mut found);
            assert_eq!(found, ["a", "", "c"], "{row}");
        }
        split_cells("|   |", &mut found);
        assert!(is_elided(&found));
    }
}
