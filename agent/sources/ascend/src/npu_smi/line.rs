//! One line: its frame taken off.

use std::borrow::Cow;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing, a ruler, or the dots of somebody who shortened it.
    Nothing,
    /// A row between bars.
    Row(&'a str),
    /// Text without bars.
    Text(&'a str),
}

impl<'a> Line<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let line = unquoted(line);
        if line.is_empty() || is_ruler(line) {
            return Self::Nothing;
        }
        let line = unruled(line);
        if line.is_empty() {
            Self::Nothing
        } else if line.contains('|') {
            Self::Row(line)
        } else {
            Self::Text(line)
        }
    }
}

/// Without the sequences that colour a terminal (`ESC [ ... letter`).
pub(super) fn uncoloured(text: &str) -> Cow<'_, str> {
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

/// Without a ruler at the start: the end of its line can be lost, and the next row then stands behind it.
fn unruled(line: &str) -> &str {
    if !line.starts_with('+') {
        return line;
    }
    let rest = line.trim_start_matches(['+', '-', '=']).trim_start();
    if rest.starts_with('|') { rest } else { "" }
}

/// Rulers begin and end with a plus or, in some tables, a bar.
fn is_ruler(line: &str) -> bool {
    let is_part = |byte| matches!(byte, b'-' | b'=' | b'.' | b'+' | b'|');
    line.bytes().all(is_part) && (!line.contains('|') || ["---", "==="].iter().any(|run| line.contains(run)))
}

/// Whether something stands before the first bar of a row that ends with one: the time or the mark of a comment, or the
/// first cell of a row that lost its first bar.
pub(super) fn has_prefix(row: &str) -> bool {
    !row.starts_with('|') && row.ends_with('|')
}

/// Without the mark of a quotation, which logs and documents put before each line.
fn unquoted(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix('>').map_or(line, str::trim_start)
}

/// What stands between the bars, into `cells`. The outer bars may be missing.
pub(super) fn cells<'a>(row: &'a str, cells: &mut Vec<&'a str>) {
    cells.clear();
    let row = row.strip_prefix('|').unwrap_or(row);
    cells.extend(row.split('|').map(str::trim));
    if row.ends_with('|') {
        cells.pop();
    }
}

/// Whether there is nothing in a row, or only dots that stand for others.
pub(super) fn is_elided(cells: &[&str]) -> bool {
    cells.iter().all(|cell| cell.bytes().all(|byte| byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_quotation_marks_are_taken_off() {
        assert_eq!(Line::of("> +====+----+"), Line::Nothing);
        assert_eq!(Line::of("+====+`"), Line::Nothing);
        assert_eq!(Line::of("...\r"), Line::Nothing);
        assert_eq!(Line::of("|====+====|"), Line::Nothing);
        assert_eq!(Line::of("+====+====|"), Line::Nothing);
        assert_eq!(Line::of("| - | -- |"), Line::Row("| - | -- |"));
        assert_eq!(Line::of("+----+----+| a | b |"), Line::Row("| a | b |"));
        assert_eq!(Line::of("  > | a | b |\r"), Line::Row("| a | b |"));
        assert_eq!(Line::of("dcmi module"), Line::Text("dcmi module"));
    }

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(uncoloured("\u{1b}[1;32m| a |\u{1b}[0m b\u{1b}[K"), "| a | b");
        assert!(matches!(uncoloured("| a |"), Cow::Borrowed("| a |")));
        assert_eq!(uncoloured("x\u{1b}["), "x");
        assert_eq!(uncoloured("x\u{1b}[31ä"), "xä");
    }

    #[test]
    fn outer_bars_may_be_missing_and_inner_cells_blank() {
        let mut found = Vec::new();
        for row in ["| a | | c |", "a | | c |", "| a | | c", "a||c"] {
            cells(row, &mut found);
            assert_eq!(found, ["a", "", "c"], "{row}");
        }
        cells("|   |", &mut found);
        assert!(is_elided(&found));
    }
}
