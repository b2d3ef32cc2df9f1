//! The live table.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::cells::{number, printable};
use super::lookup::Lookup;
use super::recent::Recent;
use super::{ascend, hailo, ioctl, nvidia};
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Series, Timestamp};

/// What the table shows.
#[derive(Debug)]
pub struct View<'a> {
    /// The live series.
    pub series: &'a [Series],
    /// What was drawn before.
    pub recent: &'a Recent,
    /// What is to be said beside them: why something is missing, and how to mend it.
    pub notes: &'a [Note],
    /// Columns of the terminal.
    pub width: u16,
    /// Now.
    pub time: Timestamp,
}

/// A line under the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is so.
    pub what: String,
    /// How to mend it; empty where there is nothing to mend.
    pub remedy: String,
}

/// The whole screen, each line ended by `\n`.
pub fn render(view: &View<'_>) -> String {
    let series = Lookup::new(view.series);
    let mut screen = format!("accelscope {}  {}\n", env!("CARGO_PKG_VERSION"), view.time);
    let sections = [
        ("DEVICES", hailo::devices(&series)),
        ("PROCESSES", hailo::processes(&series)),
        ("NETWORKS", hailo::networks(&series)),
        ("STREAMS", hailo::streams(&series)),
        ("ASCEND", ascend::chips(&series)),
        ("ASCEND PROCESSES", ascend::processes(&series)),
        ("GPUS", nvidia::gpus(&series)),
        ("GPU PROCESSES", nvidia::processes(&series)),
        ("CALLS", ioctl::calls(&series, view.recent)),
    ];
    for (title, (head, rows)) in sections {
        if !rows.is_empty() {
            screen.push_str(&format!("\n{title}\n{}\n", table(&head, rows, view.width)));
        }
    }
    if !view.notes.is_empty() {
        screen.push('\n');
    }
    for note in view.notes {
        let arrow = if note.remedy.is_empty() { "" } else { "\n    -> " };
        screen.push_str(&format!(
            "* {}{arrow}{}\n",
            printable(&note.what),
            printable(&note.remedy)
        ));
    }
    if let Some(memory) = number(series.of(&agent::MEMORY_USAGE).next().as_ref()) {
        screen.push_str(&format!("\nagent: {:.1} MiB resident\n", memory / f64::from(1 << 20)));
    }
    screen
}

fn table(head: &[&'static str], rows: Vec<Vec<String>>, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    table.set_header(head.iter().copied()).add_rows(rows);
    for (at, title) in head.iter().enumerate() {
        if matches!(
            *title,
            "UTILIZATION"
                | "POWER"
                | "TEMPERATURE"
                | "HBM"
                | "DDR"
                | "MEMORY"
                | "FPS"
                | "FRAMES"
                | "QUEUED"
                | "MIN"
                | "MAX"
                | "CAPACITY"
                | "OPEN"
                | "CALLS/S"
                | "FAILED/S"
                | "BYTES/S"
                | "P50"
                | "P99"
                | "IN FLIGHT"
                | "OLDEST"
        ) && let Some(column) = table.column_mut(at)
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
        let notes = [Note {
            what: "monitor is off".into(),
            remedy: "set HAILO_MONITOR=1".into(),
        }];
        let view = View {
            series: &all,
            recent: &Recent::default(),
            notes: &notes,
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
