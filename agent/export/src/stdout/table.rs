//! The live table.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Series, Timestamp};
use accelscope_core::printable::printable;
use accelscope_core::sampler::Finding;
use accelscope_core::table::{Lookup, Rates, Section, number};

/// Content of the table.
#[derive(Debug)]
pub struct View<'a> {
    /// The live series.
    pub series: &'a [Series],
    /// Its sections.
    pub sections: &'a [&'static Section],
    /// Rates of the series since earlier refreshes.
    pub rates: &'a Rates,
    /// Lines below the sections: why something is missing, and the remedy.
    pub findings: &'a [Finding],
    /// Width of the terminal, in columns.
    pub width: u16,
    /// Current time.
    pub time: Timestamp,
}

/// The whole screen, each line ended by `\n`.
pub fn render(view: &View<'_>) -> String {
    let series = Lookup::new(view.series);
    let mut screen = format!("accelscope {}  {}\n", env!("CARGO_PKG_VERSION"), view.time);
    for section in view.sections {
        let rows = (section.rows)(&series, view.rates);
        if !rows.is_empty() {
            screen.push_str(&format!("\n{}\n{}\n", section.title, table(section, &rows, view.width)));
        }
    }
    if !view.findings.is_empty() {
        screen.push('\n');
    }
    for finding in view.findings {
        screen.push_str(&format!("* {}\n", printable(&finding.what)));
        if let Some(remedy) = &finding.remedy {
            screen.push_str(&format!("    -> {}\n", printable(remedy)));
        }
    }
    if let Some(memory) = number(series.of(&agent::MEMORY_USAGE).next().as_ref()) {
        screen.push_str(&format!("\nagent: {:.1} MiB resident\n", memory / f64::from(1 << 20)));
    }
    screen
}

fn table(section: &Section, rows: &[Vec<String>], width: u16) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table
        .set_header(section.columns.iter().map(|column| column.title))
        .add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    for (at, column) in section.columns.iter().enumerate() {
        if column.is_number
            && let Some(column) = table.column_mut(at)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use accelscope_core::table::{name, value};

    use super::*;

    fn screen(rows: fn(&Lookup<'_>, &Rates) -> Vec<Vec<String>>, findings: &[Finding]) -> String {
        static COLUMNS: [accelscope_core::table::Column; 2] = [name("DEVICE"), value("FPS")];
        let section: &'static Section = Box::leak(Box::new(Section {
            title: "CHIPS",
            columns: &COLUMNS,
            rated: |_| false,
            rows,
        }));
        render(&View {
            series: &[],
            sections: &[section],
            rates: &Rates::default(),
            findings,
            width: 80,
            time: Timestamp::from_unix_nanos(0),
        })
    }

    #[test]
    fn a_section_has_its_title_its_columns_and_its_rows_with_numbers_to_the_right() {
        let rows = |_: &Lookup<'_>, _: &Rates| {
            [["chip0", "9.5"], ["chip1", "120.0"]]
                .map(|row| row.map(String::from).to_vec())
                .to_vec()
        };
        let screen = screen(rows, &[]);
        let lines: Vec<&str> = screen.lines().skip(2).map(str::trim).collect();
        assert_eq!(lines, ["CHIPS", "DEVICE    FPS", "chip0     9.5", "chip1   120.0"]);
    }

    #[test]
    fn a_section_without_rows_is_left_out_and_a_finding_cannot_move_the_cursor() {
        let findings = [Finding::warn("chips", "monitor\u{1b}[2J is off").with_remedy("switch it on")];
        let screen = screen(|_, _| Vec::new(), &findings);
        assert!(!screen.contains("CHIPS"), "{screen}");
        assert!(
            screen.contains("* monitor\\u{1b}[2J is off\n    -> switch it on\n"),
            "{screen}"
        );
    }
}
