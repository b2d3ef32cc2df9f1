//! Every layout of `npu-smi`, as the stand-in prints it, with the tool's failures.
#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::{Duration, Instant};

use accelscope_ascend::npu_smi::{Cause, Health, MAX_BYTES, ParseError, Table, Usage, parse};
use clap::ValueEnum;
use fake_npu_smi::{Family, Fault, Options, table};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn options(family: Family) -> Options {
    Options {
        family,
        cards: 3,
        first_npu: 2143,
        pids: (3_900_001..3_900_015).collect(),
        ..Options::default()
    }
}

fn of(family: Family) -> Table {
    parse(&table(&options(family), 7)).unwrap()
}

#[test]
fn every_layout_gives_its_chips() {
    for family in Family::value_variants() {
        let found = of(*family);
        let chips = if matches!(family, Family::A3 | Family::A3V26) {
            2
        } else {
            1
        };
        let ids: Vec<_> = found.chips.iter().map(|chip| (chip.npu, chip.chip)).collect();
        let expected: Vec<_> = (2143..2146)
            .flat_map(|npu| (0..chips).map(move |chip| (Some(npu), Some(chip))))
            .collect();
        assert_eq!(ids, expected, "{family:?}");
        assert!(found.skipped.is_empty(), "{family:?}: {:?}", found.skipped);
        for chip in &found.chips {
            assert_eq!(chip.health, Some(Health::Ok), "{family:?}");
            assert!(chip.temperature_celsius.unwrap() >= 38.0, "{family:?}");
            let is_second = chip.chip == Some(1);
            let has_power = *family != Family::NoHbm && !is_second;
            assert_eq!(chip.power_watts.is_some(), has_power, "{family:?}");
            let memory = if chip.hbm == Usage::default() {
                chip.ddr
            } else {
                chip.hbm
            };
            assert!(
                memory.used.unwrap() > MIB && memory.limit.unwrap() > 8000 * MIB,
                "{family:?}"
            );
        }
    }
}

#[test]
fn each_layout_has_what_is_its_own() {
    let first = |family| of(family).chips[0].clone();
    let old = of(Family::V1);
    assert_eq!(
        (old.tool_version.as_deref(), old.driver_version.as_deref()),
        (Some("1.9.3"), Some("21.0.rc1"))
    );
    assert!(!old.has_process_table, "it has no such table");
    assert_eq!(first(Family::V1).ddr.limit, Some(15171 * MIB));
    assert_eq!(first(Family::V1).hbm.limit, Some(32768 * MIB));
    assert_eq!(first(Family::Dk200).bus_id, None, "NA");
    let edge = of(Family::NoHbm);
    assert_eq!(edge.chips[2].logical_id, Some(2));
    assert_eq!(edge.chips[2].hbm, Usage::default());
    let classic = first(Family::Hbm);
    assert_eq!(classic.ddr, Usage::default(), "0 / 0 is no memory");
    assert_eq!(classic.name.as_deref(), Some("910B3"));
    assert_eq!(of(Family::A3).chips[5].physical_id, Some(5));
    assert!(first(Family::Hbm).aicore_percent.is_some() && first(Family::Hbm).npu_percent.is_none());
    for family in [Family::A5, Family::A5Wide] {
        let new = first(family);
        assert!(
            new.aicore_percent.is_none() && new.npu_percent.is_some(),
            "another quantity"
        );
    }
}

#[test]
fn processes_belong_to_their_chips() {
    let found = of(Family::A3V26);
    let first = &found.processes[0];
    assert_eq!((first.npu, first.chip, first.pid), (2143, 0, 3_900_001));
    assert_eq!(first.name, None, "the process cannot be seen");
    assert_eq!(first.memory, Some((65536 / 16 + 3_900_001 % 512) * MIB));
    assert_eq!((found.processes[3].npu, found.processes[3].chip), (2143, 1));
    assert_eq!(found.processes.len(), 14);
    let new = of(Family::A5);
    assert_eq!((new.processes[0].npu, new.processes[0].chip), (2143, 0));
    let none = parse(&table(&Options::default(), 7)).unwrap();
    assert!(none.has_process_table && none.processes.is_empty());
}

#[test]
fn a_chip_without_its_card_s_row_keeps_its_own_values_and_no_other_s() {
    let text = |fault| {
        let options = Options {
            fault,
            ..options(Family::A3)
        };
        parse(&table(&options, 7)).unwrap()
    };
    let found = text(Fault::Orphan);
    assert_eq!(found.chips.len(), 6);
    let orphan = &found.chips[0];
    assert!(orphan.orphan);
    assert_eq!((orphan.npu, orphan.chip, orphan.health), (None, Some(0), None));
    assert!(orphan.bus_id.is_some() && orphan.hbm.used.is_some());
    assert_eq!(found.chips[1..], text(Fault::None).chips[1..]);
}

#[test]
fn zeros_of_failed_reads_are_no_readings() {
    let options = Options {
        fault: Fault::Zeros,
        ..options(Family::Hbm)
    };
    let found = parse(&table(&options, 7)).unwrap();
    let chip = &found.chips[0];
    assert_eq!(
        (chip.power_watts, chip.temperature_celsius, chip.aicore_percent),
        (None, None, None)
    );
    assert_eq!((chip.hbm, chip.ddr), (Usage::default(), Usage::default()));
    assert_eq!(found.skipped["power_zero"], 3);
}

const TWO: &str = "
| npu-smi 25.5.1     Version:25.5.1 |
| NPU   Name  | Health | Power(W)  Temp(C)  Hugepages-Usage(page) |
| Chip        | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |
| 0  910B3    | OK     | 90.1  40  0 / 0                          |
| 0           | 0000:C1:00.0 | 3   0 / 0   59718/ 65536           |
| 1  910B3    | OK     | 91.2  41  0 / 0                          |
| 0           | 0000:C2:00.0 | 4   0 / 0   59719/ 65536           |
";

#[test]
fn one_strange_cell_loses_itself_and_is_counted() {
    for (from, to, column) in [
        ("90.1", "ninety", "power"),
        ("59718/ 65536", "lots", "hbm"),
        ("OK     | 90.1", "Offline | 90.1", "health"),
        ("| 0  910B3", "| x  910B3", "npu_id"),
        ("| 3   0 / 0", "| 300  0 / 0", "aicore"),
    ] {
        let found = parse(&TWO.replacen(from, to, 1)).unwrap();
        assert_eq!(found.skipped.iter().collect::<Vec<_>>(), [(&column, &1)], "{to}");
        assert_eq!(found.chips.len(), 2, "{to}");
        assert_eq!(found.chips[0].bus_id.as_deref(), Some("0000:C1:00.0"), "{to}");
        assert_eq!(found.chips[1].power_watts, Some(91.2), "{to}");
    }
}

#[test]
fn a_blank_name_and_a_masked_address_lose_no_chip() {
    let text = TWO
        .replacen("0  910B3", "0       ", 1)
        .replacen("0000:C1:00.0", "xxxx", 1);
    let found = parse(&text).unwrap();
    assert_eq!((found.chips[0].npu, found.chips[0].name.as_deref()), (Some(0), None));
    assert_eq!(found.chips.len(), 2);
    assert_eq!(found.chips[0].hbm.used, Some(59718 * MIB));
}

#[test]
fn bars_that_are_missing_or_too_many_lose_nothing() {
    let whole = parse(TWO).unwrap();
    for (from, to) in [
        ("| OK     | 90.1", "| OK       90.1"),
        ("| 0000:C1:00.0 |", "  0000:C1:00.0 |"),
        ("90.1  40", "90.1 | 40"),
    ] {
        assert_eq!(parse(&TWO.replacen(from, to, 1)).unwrap(), whole, "{to}");
    }
    for family in [Family::A3, Family::A5, Family::NoHbm] {
        let text = table(&options(family), 7);
        let shifted = text.replace("| OK ", "  OK | ");
        assert_eq!(parse(&shifted).unwrap(), parse(&text).unwrap(), "{family:?}");
    }
}

#[test]
fn a_process_s_name_may_hold_bars_and_look_like_a_title() {
    let text = TWO.to_owned()
        + "| NPU Chip | Process id | Process name | Process memory(MB) |\n\
           | 0  0 | 17 | a|b | 5 |\n| 1 0 | 18 | Process id | 6 |\n| 1 0 | xx | masked | 6 |\n";
    let found = parse(&text).unwrap();
    let names: Vec<_> = found
        .processes
        .iter()
        .map(|process| process.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["a|b", "Process id"]);
    assert_eq!(found.chips.len(), 2, "no process is taken for a chip");
    assert_eq!(found.skipped["process_row"], 1);
}

#[test]
fn an_unknown_layout_is_quoted() {
    let options = Options::default();
    let text = table(&options, 0).replace("NPU", "Card").replace("Bus-Id", "Address");
    let ParseError::Layout { line } = parse(&text).unwrap_err() else {
        panic!("another error")
    };
    assert!(line.contains("Card") && line.contains("Health"), "{line}");
    let error = parse("\u{1b}[2Jwhat?").unwrap_err();
    assert!(
        error.to_string().contains("what?") && !error.to_string().contains('\u{1b}'),
        "{error}"
    );
    assert_eq!(parse("").unwrap_err(), ParseError::NoTable { line: None });
}

#[test]
fn an_error_beside_chips_is_told_with_them() {
    let found = parse(&(TWO.to_owned() + "Failed to get device type.\n")).unwrap();
    assert_eq!(found.chips.len(), 2);
    assert_eq!(found.error.unwrap().cause, Cause::DeadChip);
    let warned =
        parse(&(TWO.to_owned() + "[WARNING]The driver package may not be completely installed, ...\n")).unwrap();
    assert!(warned.driver_incomplete && warned.error.is_none());
}

#[test]
fn what_is_too_long_is_refused_and_what_is_long_is_quick() {
    let is_too_long = |text: &str| matches!(parse(text), Err(ParseError::TooLong { .. }));
    assert!(is_too_long(&"x".repeat(MAX_BYTES + 1)));
    let header = TWO.lines().take(4).collect::<Vec<_>>().join("\n") + "\n";
    let wide = "| NPU Name | Health | ".to_owned() + &"X ".repeat(MAX_BYTES / 4) + "|\n";
    for unit in [
        "|",
        "| 0 | ",
        "/ ",
        "| 0 | 0:1 | 1 / 2 / 3 |\n",
        "NPU ",
        "> ",
        "-9",
        "| | |\n",
    ] {
        for header in ["", &header, &wide] {
            let text = header.to_owned() + &unit.repeat((MAX_BYTES - header.len()) / unit.len());
            let started = Instant::now();
            parse(&text).ok();
            // Seconds in an unoptimised build; with quadratic time it would be hours.
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{unit:?}: {:?}",
                started.elapsed()
            );
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[|+ =NChipUame\\-HlthBus.Idx0-9/:\\n%()AICore\u{e4}]{0,400}") {
        parse(&text).ok();
    }

    #[test]
    fn lines_in_any_order_never_give_more_chips_than_chip_rows(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        which in 0_usize..4,
    ) {
        let family = [Family::Hbm, Family::A3, Family::NoHbm, Family::A5][which];
        let text = table(&options(family), 7);
        let lines: Vec<&str> = text.lines().collect();
        let picked: Vec<&str> = picks.iter().map(|pick| *pick.get(&lines)).collect();
        let rows = picked.iter().filter(|line| line.contains(":00.0")).count();
        if let Ok(found) = parse(&picked.join("\n")) {
            prop_assert!(found.chips.len() <= rows);
        }
    }

    #[test]
    fn changed_bytes_never_make_up_a_chip_or_an_impossible_value(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let mut bytes = table(&options(Family::V26), 7).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(found) = parse(&text) {
            let rows = text.lines().filter(|line| line.contains('|')).count();
            prop_assert!(found.chips.len() <= rows);
            for chip in &found.chips {
                for percent in [chip.aicore_percent, chip.npu_percent].into_iter().flatten() {
                    prop_assert!((0.0..=100.0).contains(&percent));
                }
                prop_assert!(chip.power_watts.is_none_or(|watts| watts > 0.0 && watts <= 10_000.0));
            }
        }
    }
}
