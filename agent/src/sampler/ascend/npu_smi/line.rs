//! One line: its frame taken off.

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
        if line.is_empty() || line.starts_with('+') || line.bytes().all(|byte| matches!(byte, b'-' | b'=' | b'.')) {
            Self::Nothing
        } else if line.contains('|') {
            Self::Row(line)
        } else {
            Self::Text(line)
        }
    }
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
        assert_eq!(Line::of("  > | a | b |\r"), Line::Row("| a | b |"));
        assert_eq!(Line::of("dcmi module"), Line::Text("dcmi module"));
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
