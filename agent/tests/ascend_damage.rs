//! Outputs of `npu-smi` that were damaged in transit: cut short, wrapped, printed twice, coloured, prefixed. A value may
//! be lost, but never become another.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use accelscope_ascend::npu_smi::{Chip, ParseError, Process, Table, Usage, parse};
use clap::ValueEnum;
use fake_npu_smi::{Family, Options, table};

fn text(family: Family) -> String {
    let options = Options {
        family,
        cards: 3,
        first_npu: 2143,
        pids: (4_190_001..4_190_015).collect(),
        ..Options::default()
    };
    table(&options, 7)
}

fn families() -> impl Iterator<Item = (Family, String, Table)> {
    Family::value_variants().iter().map(|family| {
        let text = text(*family);
        let whole = parse(&text).unwrap();
        (*family, text, whole)
    })
}

/// Whether each value is absent or that of `whole`.
fn is_part_of(found: &Chip, whole: &Chip) -> bool {
    fn same<T: PartialEq>(found: Option<&T>, whole: Option<&T>) -> bool {
        found.is_none() || found == whole
    }
    let usage = |found: Usage, whole: Usage| {
        same(found.used.as_ref(), whole.used.as_ref()) && same(found.limit.as_ref(), whole.limit.as_ref())
    };
    let numbers = [
        (found.power_watts, whole.power_watts),
        (found.temperature_celsius, whole.temperature_celsius),
        (found.aicore_percent, whole.aicore_percent),
        (found.aicpu_percent, whole.aicpu_percent),
        (found.npu_percent, whole.npu_percent),
    ];
    let ids = [
        (found.npu, whole.npu),
        (found.chip, whole.chip),
        (found.logical_id, whole.logical_id),
        (found.physical_id, whole.physical_id),
    ];
    numbers
        .iter()
        .all(|(found, whole)| same(found.as_ref(), whole.as_ref()))
        && ids.iter().all(|(found, whole)| same(found.as_ref(), whole.as_ref()))
        && [
            (found.hbm, whole.hbm),
            (found.ddr, whole.ddr),
            (found.hugepages, whole.hugepages),
        ]
        .iter()
        .all(|(found, whole)| usage(*found, *whole))
        && same(found.bus_id.as_ref(), whole.bus_id.as_ref())
        && same(found.health.as_ref(), whole.health.as_ref())
}

fn is_process_of(found: &Process, whole: &Process) -> bool {
    (found.npu, found.chip, found.pid) == (whole.npu, whole.chip, whole.pid)
        && (found.memory.is_none() || found.memory == whole.memory)
        && (found.pid_in_container.is_none() || found.pid_in_container == whole.pid_in_container)
}

#[track_caller]
fn assert_part(found: &Table, whole: &Table, what: &str) {
    for chip in &found.chips {
        let fits = whole.chips.iter().any(|whole| is_part_of(chip, whole));
        assert!(fits, "{what}: made up: {chip:?}");
    }
    for process in &found.processes {
        let fits = whole.processes.iter().any(|whole| is_process_of(process, whole));
        assert!(fits, "{what}: made up: {process:?}");
    }
    assert!(found.chips.len() <= whole.chips.len(), "{what}: chips made up");
    assert!(
        found.processes.len() <= whole.processes.len(),
        "{what}: processes made up"
    );
}

/// The table in `damaged`, without the counts of skipped values.
#[track_caller]
fn assert_same(damaged: &str, whole: &Table, what: &str) {
    let found = parse(damaged).unwrap_or_else(|error| panic!("{what}: {error}\n{damaged}"));
    assert_eq!(found.chips, whole.chips, "{what}\n{damaged}");
    assert_eq!(found.processes, whole.processes, "{what}\n{damaged}");
    assert_eq!(found.driver_version, whole.driver_version, "{what}");
    assert!(found.error.is_none(), "{what}: {:?}", found.error);
}

#[test]
fn wherever_it_is_cut_nothing_becomes_another_number() {
    for (family, text, whole) in families() {
        for cut in 0..text.len() {
            match parse(&text[..cut]) {
                Ok(found) => assert_part(&found, &whole, &format!("{family:?} cut at {cut}")),
                Err(ParseError::NoTable { .. } | ParseError::Layout { .. }) => {}
                Err(error) => panic!("{family:?} cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn however_narrow_the_terminal_nothing_becomes_another_number() {
    for (family, text, whole) in families() {
        for width in 20..120 {
            let wrapped: String = text
                .lines()
                .flat_map(|line| {
                    let parts = line.as_bytes().chunks(width);
                    parts.map(|part| String::from_utf8_lossy(part).into_owned() + "\n")
                })
                .collect();
            if let Ok(found) = parse(&wrapped) {
                assert_part(&found, &whole, &format!("{family:?} in {width} columns\n{wrapped}"));
            }
        }
    }
}

#[test]
fn what_stands_around_rows_changes_none_of_them() {
    let each = |text: &str, change: &dyn Fn(&str) -> String| -> String { text.lines().map(change).collect() };
    for (family, text, whole) in families() {
        let ways = [
            ("returns", text.replace('\n', "\r\n")),
            ("tabs", text.replace("  ", "\t")),
            ("blanks of the web", text.replace("  ", "\u{a0} ")),
            (
                "one blank",
                each(&text, &|line| {
                    line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n"
                }),
            ),
            (
                "times",
                each(&text, &|line| format!("2026-01-02T03:04:05.678901234Z {line}\n")),
            ),
            (
                "times in brackets",
                each(&text, &|line| format!("[12:31:07] [INFO] {line}\n")),
            ),
            (
                "a log's times and levels",
                each(&text, &|line| {
                    format!("2026-01-02 03:04:05.678 | INFO     | tool:run:17 - {line}\n")
                }),
            ),
            (
                "the name of a container",
                each(&text, &|line| format!("npu-1  | {line}\n")),
            ),
            (
                "prefixes of rows alone",
                each(&text, &|line| {
                    let is_row = line.contains(":00.0") || line.contains("| OK");
                    format!("{}{line}\n", if is_row { "line 2 ==> " } else { "" })
                }),
            ),
            ("comments", each(&text, &|line| format!("    # {line}\n"))),
            ("quotations", each(&text, &|line| format!("> {line}\n"))),
            (
                "colours",
                each(&text, &|line| format!("\u{1b}[1;32m{line}\u{1b}[0m\u{1b}[K\n")),
            ),
            ("empty lines", each(&text, &|line| format!("{line}\n\n"))),
            (
                "no rulers",
                each(&text, &|line| {
                    if line.starts_with('+') {
                        String::new()
                    } else {
                        format!("{line}\n")
                    }
                }),
            ),
            (
                "rulers that lost their ends",
                each(&text, &|line| {
                    format!("{line}{}", if line.starts_with('+') { "" } else { "\n" })
                }),
            ),
            ("rulers with bars", text.replace("=+\n", "=|\n").replace("\n+=", "\n|=")),
            (
                "a shell",
                format!(
                    "Every 2.0s: npu-smi info   node-8005: Fri Jan 2\n\n[root@node-8005 ~]# npu-smi info | tee x\n{text}[root@node-8005 ~]# 温度 | 功率\n内存：正常\n"
                ),
            ),
        ];
        for (way, damaged) in ways {
            assert_same(&damaged, &whole, &format!("{family:?}, {way}"));
        }
    }
}

#[test]
fn of_an_output_printed_twice_the_newer_is_shown_once() {
    for (family, old, whole) in families() {
        assert_same(&format!("{old}{old}"), &whole, &format!("{family:?}"));
        let twice = parse(&format!("{old}\n{old}")).unwrap();
        assert_eq!(twice.skipped["table_twice"], 1);
        // The newer one was cut short: the rows that it lacks are taken from the older one.
        let rows = old.match_indices("\n| 2144").next().unwrap().0;
        assert_same(
            &format!("{}\n{old}", &old[..rows]),
            &whole,
            &format!("{family:?}, the older cut"),
        );
        let found = parse(&format!("{old}{}", &old[..rows])).unwrap();
        assert_eq!(found.chips.len(), whole.chips.len(), "{family:?}, the newer cut");
    }
}

const TWO: &str = "
| npu-smi 25.5.1     Version: 25.5.1 |
| NPU   Name  | Health | Power(W)  Temp(C)  Hugepages-Usage(page) |
| Chip        | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |
| 0  910B3    | OK     | 90.1  40  0 / 0                          |
| 0           | 0000:C1:00.0 | 0   0 / 0   59718/ 65536           |
| 1  910B3    | OK     | 91.2  41  0 / 0                          |
| 0           | 0000:C2:00.0 | 0   0 / 0   59719/ 65536           |
| NPU Chip | Process id | Process name | Process memory(MB) |
| 0  0 | 4194303 | python3 -m a b | 17 |
";

#[test]
fn a_column_that_no_version_has_takes_no_other_with_it() {
    let whole = parse(TWO).unwrap();
    let right = TWO
        .replace("HBM-Usage(MB) |", "HBM-Usage(MB)  HBM BW(%) |")
        .replace("65536           |", "65536   3 |");
    let own_cell = TWO
        .replace("(page) |", "(page) | ECC |")
        .replace("HBM-Usage(MB) |", "HBM-Usage(MB) | Lost |")
        .replace("/ 0                          |", "/ 0 | 7 |")
        .replace("65536           |", "65536 | 8 |");
    for text in [right, own_cell] {
        let found = parse(&text).unwrap();
        assert_eq!(
            (found.chips, found.processes),
            (whole.chips.clone(), whole.processes.clone())
        );
        assert!(found.skipped["unknown_column"] >= 2);
    }
}

#[test]
fn a_process_row_that_names_none_is_none() {
    let found = parse(&format!("{TWO}| 1  0 | NA | NA | NA |\n")).unwrap();
    assert_eq!(found.processes.len(), 1);
    assert_eq!(found.processes[0].name.as_deref(), Some("python3 -m a b"));
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
}

#[test]
fn another_unit_loses_its_column_and_not_the_zero_beside_it() {
    let found = parse(&TWO.replace("HBM-Usage(MB)", "HBM-Usage(GB)")).unwrap();
    assert_eq!(found.chips[0].hbm, Usage::default());
    assert_eq!(found.chips[0].aicore_percent, Some(0.0), "an idle chip");
    assert_eq!(found.skipped["unknown_column"], 2);
    let found = parse(&TWO.replace("59718/ 65536", "59718/ 6553")).unwrap();
    assert_eq!(found.chips[0].hbm, Usage::default(), "more in use than there is");
    assert_eq!(found.chips[0].aicore_percent, Some(0.0));
    assert_eq!(found.skipped["hbm"], 1);
}

#[test]
fn a_card_without_its_chip_s_row_is_no_empty_table() {
    let cards: String = TWO
        .lines()
        .filter(|line| !line.contains("0000:"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let error = parse(&cards).unwrap_err().to_string();
    assert!(error.contains("0  910B3    | OK     | 90.1"), "{error}");
    let only = "| NPU ID | Process id | Process name | Process memory(MB) |\n| 0 | 7 | python | 3 |\n";
    let error = parse(only).unwrap_err().to_string();
    assert!(error.contains("| NPU ID | Process id |"), "{error}");
}
