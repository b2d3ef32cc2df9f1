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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use accelscope_core::metric::catalogue::hailo;
    use accelscope_core::metric::{Attribute, Attributes, Instrument, Value, key};

    fn series(instrument: &'static Instrument, attributes: &[Attribute], value: impl Into<Value>) -> Series {
        Series {
            instrument,
            attributes: Arc::new(Attributes::new(attributes.iter().cloned())),
            value: Some(value.into()),
            time: Timestamp::from_unix_nanos(0),
            start: None,
        }
    }

    #[test]
    fn a_row_says_device_process_pod_and_what_is_unknown_is_a_dash() {
        let id = (key::HW_ID, "id-1".into());
        let network = [
            id.clone(),
            (key::HAILO_NETWORK_NAME, "yolo\u{1b}[2Jv8".into()),
            (key::K8S_POD_NAME, "cam-0".into()),
            (key::K8S_NAMESPACE_NAME, "edge".into()),
            (key::PROCESS_EXECUTABLE_NAME, "detect".into()),
        ];
        let all = [
            series(&hailo::DEVICE_INFO, &[id.clone(), (key::HW_NAME, "hailo0".into())], 1),
            series(&hailo::MONITOR_ACTIVE, std::slice::from_ref(&id), 0),
            series(&hailo::NETWORK_UTILIZATION, &network, 0.475),
        ];
        let findings = [Finding::warn("hailo", "monitor is off").with_remedy("set HAILO_MONITOR=1")];
        let view = View {
            series: &all,
            recent: &Recent::default(),
            findings: &findings,
            width: 160,
            time: Timestamp::from_unix_nanos(0),
        };
        let screen = render(&view);
        let line = |word: &str| {
            screen
                .lines()
                .find(|l| l.contains(word))
                .unwrap_or_else(|| panic!("{screen}"))
        };
        let words: Vec<_> = line("detect").split_whitespace().collect();
        assert_eq!(
            words,
            [
                "yolo\u{fffd}[2Jv8",
                "hailo0",
                "detect",
                "edge/cam-0",
                "47.5",
                "%",
                "-",
                "-"
            ]
        );
        let words: Vec<_> = line("off").split_whitespace().collect();
        assert_eq!(words, ["hailo0", "-", "-", "-", "-", "off"]);
        assert!(
            screen.contains("* monitor is off\n    -> set HAILO_MONITOR=1\n"),
            "{screen}"
        );
        assert!(!screen.contains('\u{1b}'));
    }
}
