//! The live table.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::cells::{absent, decimal, number, owner, percent, printable, process, text, whole};
use crate::metric::catalogue::{agent, hailo, hw};
use crate::metric::{Attributes, Instrument, Series, Timestamp, key};

/// What the table shows.
#[derive(Debug)]
pub struct View<'a> {
    /// The live series.
    pub series: &'a [Series],
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
        ("DEVICES", devices(&series)),
        ("PROCESSES", processes(&series)),
        ("NETWORKS", networks(&series)),
        ("STREAMS", streams(&series)),
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

type Section = (Vec<&'static str>, Vec<Vec<String>>);

struct Lookup<'a> {
    by_name: BTreeMap<&'static str, Vec<&'a Series>>,
}

impl<'a> Lookup<'a> {
    fn new(series: &'a [Series]) -> Self {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in series.iter().filter(|one| one.value.is_some()) {
            by_name.entry(one.instrument.name).or_default().push(one);
        }
        for all in by_name.values_mut() {
            all.sort_by(|a, b| a.attributes.iter().cmp(b.attributes.iter()));
        }
        Self { by_name }
    }

    fn of(&self, instrument: &Instrument) -> impl Iterator<Item = &'a Series> {
        self.by_name.get(instrument.name).into_iter().flatten().copied()
    }

    /// The value of the series with exactly these attributes.
    fn value(&self, instrument: &Instrument, attributes: &Attributes) -> Option<f64> {
        number(
            self.of(instrument)
                .find(|series| *series.attributes == *attributes)
                .as_ref(),
        )
    }

    /// The device's short name.
    fn device(&self, attributes: &Attributes) -> String {
        let Some(id) = attributes.get(key::HW_ID) else {
            return absent();
        };
        let info = self
            .of(&hailo::DEVICE_INFO)
            .find(|info| info.attributes.get(key::HW_ID) == Some(id));
        let names = info.map(|info| {
            [
                text(&info.attributes, key::HW_NAME),
                text(&info.attributes, key::ACCEL_DEVICE_ADDRESS),
            ]
        });
        names
            .into_iter()
            .flatten()
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| printable(&id.to_string()))
    }
}

fn devices(series: &Lookup<'_>) -> Section {
    let head = vec!["DEVICE", "MODEL", "ADDRESS", "DRIVER", "UTILIZATION", "MONITOR"];
    let row = |info: &Series| {
        let id = Attributes::new(info.attributes.get(key::HW_ID).map(|id| (key::HW_ID, id.clone())));
        let monitor = match series.value(&hailo::MONITOR_ACTIVE, &id) {
            Some(active) if active > 0.0 => "on",
            Some(_) => "off",
            None => "-",
        };
        let cell = |key| {
            Some(text(&info.attributes, key))
                .filter(|cell| !cell.is_empty())
                .unwrap_or_else(absent)
        };
        vec![
            series.device(&info.attributes),
            cell(key::HW_MODEL),
            cell(key::ACCEL_DEVICE_ADDRESS),
            cell(key::HW_DRIVER_VERSION),
            percent(series.value(&hw::NPU_UTILIZATION, &id)),
            monitor.to_owned(),
        ]
    };
    (head, series.of(&hailo::DEVICE_INFO).map(row).collect())
}

fn processes(series: &Lookup<'_>) -> Section {
    let head = vec!["DEVICE", "PROCESS", "POD OR UNIT", "UTILIZATION"];
    let row = |one: &Series| {
        let of = &one.attributes;
        vec![series.device(of), process(of), owner(of), percent(number(Some(&one)))]
    };
    (head, series.of(&hailo::PROCESS_UTILIZATION).map(row).collect())
}

fn networks(series: &Lookup<'_>) -> Section {
    let head = vec![
        "NETWORK",
        "DEVICE",
        "PROCESS",
        "POD OR UNIT",
        "UTILIZATION",
        "FPS",
        "FRAMES",
    ];
    let mut all: Vec<_> = series
        .of(&hailo::NETWORK_UTILIZATION)
        .map(|one| one.attributes.clone())
        .collect();
    for one in series.of(&hailo::NETWORK_FRAME_RATE) {
        if !all.contains(&one.attributes) {
            all.push(one.attributes.clone());
        }
    }
    let row = |of: &std::sync::Arc<Attributes>| {
        vec![
            text(of, key::HAILO_NETWORK_NAME),
            series.device(of),
            process(of),
            owner(of),
            percent(series.value(&hailo::NETWORK_UTILIZATION, of)),
            decimal(series.value(&hailo::NETWORK_FRAME_RATE, of)),
            whole(series.value(&hailo::NETWORK_FRAMES, of)),
        ]
    };
    (head, all.iter().map(row).collect())
}

fn streams(series: &Lookup<'_>) -> Section {
    let head = vec![
        "STREAM",
        "DEVICE",
        "DIRECTION",
        "PROCESS",
        "QUEUED",
        "MIN",
        "MAX",
        "CAPACITY",
    ];
    let row = |one: &Series| {
        let of = &one.attributes;
        vec![
            text(of, key::HAILO_STREAM_NAME),
            series.device(of),
            text(of, key::HAILO_STREAM_DIRECTION),
            process(of),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH, of)),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH_MIN, of)),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH_MAX, of)),
            whole(number(Some(&one))),
        ]
    };
    (head, series.of(&hailo::STREAM_QUEUE_CAPACITY).map(row).collect())
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
            "UTILIZATION" | "FPS" | "FRAMES" | "QUEUED" | "MIN" | "MAX" | "CAPACITY"
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
    use crate::metric::{Attribute, Value};

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
