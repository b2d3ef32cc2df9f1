//! Real outputs of `npu-smi`, of every generation. They are not part of the project: `ACCELSCOPE_CORPUS` names the
//! directory that contains them in `npu-smi/`. `fixtures/ascend/corpus.txt` has the expected result of each.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use accelscope_ascend::npu_smi::{self, Chip, Health, ParseError, Process, Table, Usage};

/// Beginning of the names of outputs of `info -t proc-mem`. The corpus has outputs of other topics, which the agent does
/// not request.
const PROCESSES: &str = "sub_info-t-proc-mem_";

const EXPECTED: &str = include_str!("fixtures/ascend/corpus.txt");

fn corpus() -> Option<PathBuf> {
    if let Some(directory) = std::env::var_os("ACCELSCOPE_CORPUS") {
        return Some(PathBuf::from(directory).join("npu-smi"));
    }
    skip_test::skip(
        "corpus",
        "set ACCELSCOPE_CORPUS to the directory that contains npu-smi/",
    );
    None
}

#[test]
fn every_real_output_gives_what_it_shows() {
    let Some(corpus) = corpus() else { return };
    let expected: BTreeMap<&str, String> = EXPECTED
        .split("\n== ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, body)| (name, body.trim().to_owned()))
        .collect();
    let entries = std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            PathBuf::from(name)
                .extension()
                .is_some_and(|extension| extension == "txt")
        })
        .filter(|name| !name.starts_with("sub_") || name.starts_with(PROCESSES))
        .collect();
    names.sort();
    let mut wrong = String::new();
    for name in &names {
        let text = std::fs::read_to_string(corpus.join(name)).unwrap();
        let found = digest(name, &text);
        match expected.get(name.as_str()) {
            Some(expected) if *expected == found.trim() => {}
            _ => writeln!(wrong, "\n== {name}\n{}", found.trim()).unwrap(),
        }
    }
    assert!(wrong.is_empty(), "these differ from the fixture:\n{wrong}");
    for name in expected.keys() {
        assert!(names.iter().any(|found| found == name), "{name} is not in the corpus");
    }
}

/// Result of parsing a file, as text.
fn digest(name: &str, text: &str) -> String {
    let digest = if name.starts_with(PROCESSES) {
        let npu = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("NPU ID"))
            .unwrap();
        let npu = npu.trim_start_matches([' ', ':']).parse().unwrap();
        npu_smi::processes(text, npu).map(|processes| lines(processes.iter().map(of_process)))
    } else {
        npu_smi::parse(text).map(|table| of_table(&table))
    };
    digest.unwrap_or_else(|error| match error {
        ParseError::Tool(error) => format!("{:?} {:?}", error.cause, error.code),
        other => format!("{other:?}"),
    })
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

fn of_table(table: &Table) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or("?".to_owned());
    let mut text = format!(
        "tool {} driver {}",
        word(&table.tool_version),
        word(&table.driver_version)
    );
    for (is_set, what) in [
        (table.has_process_table, " process-table"),
        (table.driver_incomplete, " driver-incomplete"),
    ] {
        text += if is_set { what } else { "" };
    }
    if !table.skipped.is_empty() {
        write!(text, " skipped {:?}", table.skipped).unwrap();
    }
    text.push('\n');
    text + &lines(table.chips.iter().map(of_chip)) + &lines(table.processes.iter().map(of_process))
}

fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn megabytes(usage: Usage) -> String {
    let each = [usage.used, usage.limit].map(|bytes| {
        show(bytes.map(|bytes| {
            assert_eq!(bytes % (1 << 20), 0);
            bytes >> 20
        }))
    });
    each.join("/")
}

fn of_chip(chip: &Chip) -> String {
    let mut text = format!(
        "{}/{} {} {} {} W {} C",
        show(chip.npu),
        show(chip.chip),
        show(chip.name.as_deref()),
        show(chip.health.map(Health::as_str)),
        show(chip.power_watts),
        show(chip.temperature_celsius),
    );
    let hugepages = [chip.hugepages.used, chip.hugepages.limit].map(show).join("/");
    for (what, value) in [
        ("pages", hugepages),
        ("logical", show(chip.logical_id)),
        ("physical", show(chip.physical_id)),
        ("bus", show(chip.bus_id.as_deref())),
        ("aicore", show(chip.aicore_percent)),
        ("aicpu", show(chip.aicpu_percent)),
        ("npu", show(chip.npu_percent)),
        ("ddr", megabytes(chip.ddr)),
        ("hbm", megabytes(chip.hbm)),
    ] {
        if value != "?" && value != "?/?" {
            write!(text, " {what} {value}").unwrap();
        }
    }
    text + if chip.orphan { " orphan" } else { "" }
}

fn of_process(process: &Process) -> String {
    format!(
        "process {}/{} {} {} {}{}",
        process.npu,
        process.chip,
        process.pid,
        show(process.name.as_deref()),
        show(process.memory.map(|bytes| bytes >> 20)),
        process
            .pid_in_container
            .map_or(String::new(), |pid| format!(" inside {pid}")),
    )
}
