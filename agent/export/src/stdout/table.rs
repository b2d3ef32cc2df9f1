//! The live table.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Series, Timestamp};
use accelscope_core::sampler::Finding;
use accelscope_core::table::{Lookup, Rates, Section, number, printable};

/// What the table shows.
#[derive(Debug)]
pub struct View<'a> {
    /// The live series.
    pub series: &'a [Series],
    /// Its sections.
    pub sections: &'a [&'static Section],
    /// What was drawn before.
    pub rates: &'a Rates,
    /// Lines under the table: why something is missing, and what to do about it.
    pub findings: &'a [Finding],
    /// Columns of the terminal.
    pub width: u16,
    /// Now.
    pub time: Timestamp,
}

/// The whole screen, each line ended by `\n`.
pub fn render(view: &View<'_>) -> String {
    let series = Lookup::new(view.series);
    let mut screen = format!("accelscope {}  {}\n", env!("CARGO_PKG_VERSION"), view.time);
    for section in view.sections {
        let rows = (section.rows)(&series, view.rates);
        if !rows.is_empty() {
            screen.push_str(&format!("\n{}\n{}\n", section.title, table(section, rows, view.width)));
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

fn table(section: &Section, rows: Vec<Vec<String>>, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table
        .set_header(section.columns.iter().map(|column| column.title))
        .add_rows(rows);
    for (at, column) in section.columns.iter().enumerate() {
        if column.is_number
            && let Some(column) = table.column_mut(at)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}
