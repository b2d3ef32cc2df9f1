//! What people read of the program: names and values from others move no cursor, make no line and hide nothing.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use free_port::free_address;
use program_support::{Running, get, wait_for};

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// Ends a line, clears a screen, turns the direction of text, and has a space that nobody sees.
const HOSTILE: &str = "a\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{202e}\u{200b}b";
/// As people are to read it.
const SHOWN: &str = "a\\n2026-01-01T00:00:00Z ERROR forged\\u{1b}[2J\\u{202e}\\u{200b}b";

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

#[track_caller]
fn assert_printable(text: &str) {
    for line in text.lines() {
        assert!(!line.starts_with("2026-01-01"), "a forged line: {text:?}");
        let hostile = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!line.contains(hostile), "{line:?}");
    }
}

#[track_caller]
fn assert_shown(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        assert_printable(std::str::from_utf8(text).unwrap());
    }
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let all = String::from_utf8(all).unwrap();
    // The doctor breaks long lines.
    let joined = |text: &str| text.split_whitespace().collect::<String>();
    assert!(joined(&all).contains(&joined(SHOWN)), "{all:?}");
}

/// TOML's basic string.
fn quoted(text: &str) -> String {
    format!("{text:?}")
        .replace("\\u{1b}", "\\u001b")
        .replace("\\u{202e}", "\\u202e")
        .replace("\\u{200b}", "\\u200b")
}

#[test]
fn a_configurations_name_keys_and_values_are_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = quoted(HOSTILE);
    for (text, code) in [
        ("", 0),
        ("[hailo]\n= 1\n", 64),
        (&format!("{hostile} = 1\n"), 64),
        (&format!("[hailo]\n{hostile} = 1\n"), 64),
        (&format!("[resource]\n{hostile} = 1\n"), 64),
        (&format!("[otlp.destinations.{hostile}]\nenabled = true\n"), 64),
        (&format!("[otlp.headers]\n{hostile} = \"x\"\n"), 64),
        (&format!("[log]\nlevel = {hostile}\n"), 64),
        (&format!("[otlp]\nendpoint = {hostile}\n"), 64),
        (&format!("[hailo]\ndir = {hostile}\n"), 64),
    ] {
        let path = folder.path().join(HOSTILE.replace('/', ""));
        std::fs::write(&path, text).unwrap();
        let output = agent(&["check-config", path.to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}: {output:?}");
        assert_shown(&output);
    }
}

#[test]
fn arguments_variables_and_failures_of_the_start_too() {
    let wrong = agent(&[HOSTILE]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
    assert_shown(&wrong);
    let set = agent(&["--set", &format!("hailo.{HOSTILE}=1")]).output().unwrap();
    assert_eq!(set.status.code(), Some(64));
    assert_shown(&set);
    let variable = agent(&["--stdout", "--once"])
        .env(format!("ACCELSCOPE__HAILO__{HOSTILE}"), "1")
        .output()
        .unwrap();
    assert_eq!(variable.status.code(), Some(64));
    assert_printable(std::str::from_utf8(&variable.stderr).unwrap());
    let value = agent(&["--stdout", "--once"])
        .env("ACCELSCOPE__LOG__LEVEL", HOSTILE)
        .output()
        .unwrap();
    assert_eq!(value.status.code(), Some(64));
    assert_shown(&value);
}

#[test]
fn the_doctor_and_the_table_show_a_path_in_one_line() {
    let directory = format!("/nonexistent/{HOSTILE}");
    let textfile = format!("compat.textfile={directory}/x.prom");
    assert_shown(&agent(&["doctor", "--set", &textfile]).output().unwrap());
    let exact = agent(&["doctor", "--json", "--set", &textfile]).output().unwrap();
    let exact = String::from_utf8(exact.stdout).unwrap();
    assert!(
        exact.contains("\u{202e}") && !exact.contains("\\\\u{202e}"),
        "programs get what there is: {exact}"
    );
    let engines = format!("attribution.engine_directories=[{}]", quoted(&directory));
    assert_shown(&agent(&["doctor", "--set", &engines]).output().unwrap());
}

#[test]
fn the_text_log_and_readyz_have_no_line_that_a_name_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(HOSTILE);
    std::fs::write(&path, "").unwrap();
    let dir = folder.path().join("files");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(
        dir.join(format!("1234{}", HOSTILE.replace('/', ""))),
        b"no monitor file",
    )
    .unwrap();
    let http = free_address();
    let log = |format: &str, wanted: &str, path: &Path| {
        let mut command = agent(&["--config", path.to_str().unwrap()]);
        command.args(["--set", &format!("log.format={format}"), "--set", "log.level=debug"]);
        command.args(["--set", &format!("hailo.dir={}", dir.display())]);
        command.args(["--set", &format!("http.listen={http}")]);
        command.args(["--set", "otlp.enabled=false"]);
        let mut running = Running::start({
            command.stderr(Stdio::piped());
            command
        });
        let answer = wait_for("readiness", || {
            get(http, "/readyz").filter(|answer| answer.status == 200)
        });
        assert_printable(&answer.body);
        let lines = BufReader::new(running.0.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let mut seen = Vec::new();
        for line in lines {
            let found = line.contains(wanted);
            seen.push(line);
            if found {
                break;
            }
        }
        assert!(seen.iter().any(|line| line.contains(wanted)), "{seen:?}");
        seen
    };
    for line in log("text", SHOWN, &path) {
        assert_printable(&line);
    }
    // JSON escapes by its own rules and keeps the value.
    log("json", "ERROR forged\\u001b[2J\u{202e}", &path);
}
