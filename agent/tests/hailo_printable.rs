//! Names that processes and monitor files give themselves, as people read them and as programs do.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::time::Duration;

use hailo_host::{Host, Writer, message, named, put};
use prost::Message;

/// Of a process (15 bytes at most): clears the screen, ends the line and turns the direction of text.
const PROGRAM: &str = "x\u{1b}[2J\n\u{202e}y";
const SHOWN: &str = "x\\u{1b}[2J\\n\\u{202e}y";
/// Of a network.
const NETWORK: &str = "net\u{1b}[31m\n2026-01-01T00:00:00Z ERROR forged\u{200b}";
const NETWORK_SHOWN: &str = "net\\u{1b}[31m\\n2026-01-01";

#[track_caller]
fn assert_shown(text: &str, shown: &str) {
    for line in text.lines() {
        assert!(!line.starts_with("2026-01-01"), "a forged line: {text:?}");
        let hostile = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!line.contains(hostile), "{line:?}");
    }
    // The doctor breaks long lines.
    let joined: String = text.split_whitespace().collect();
    assert!(joined.contains(shown), "{shown} is not in {text}");
}

#[test]
fn a_processs_own_name_and_a_files_are_escaped_for_people_alone() {
    let host = Host::new().lasting().with_device();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(PROGRAM);
    fs::copy("/bin/sleep", &program).unwrap();
    let user = rustix::process::geteuid().as_raw();
    let writer = Writer::of_program(&program, user, None);
    let file = host.dir().join(format!("{}{PROGRAM}", writer.pid()));
    let mut content = message(writer.pid(), 57.0);
    content.networks_infos[0].network_name = NETWORK.to_owned();

    put(&file, &content.encode_to_vec(), Duration::ZERO);
    let points = host.look();
    let rates = named(&points, "hailo.network.frame_rate");
    let attributes = &rates[0]["attributes"];
    assert_eq!(attributes["process.executable.name"], PROGRAM);
    assert_eq!(attributes["hailo.network.name"], NETWORK);
    let table = host.output(&["--stdout", "--once", "--format", "table", "--set", "log.level=debug"]);
    let table = String::from_utf8([table.stdout, table.stderr].concat()).unwrap();
    assert_shown(&table, SHOWN);
    assert_shown(&table, NETWORK_SHOWN);

    // Without content it is named, with its process.
    put(&file, b"", Duration::ZERO);
    let doctor = host.output(&["doctor"]);
    let doctor = String::from_utf8([doctor.stdout, doctor.stderr].concat()).unwrap();
    assert_shown(&doctor, &format!("({SHOWN})"));
    assert_shown(&doctor, &format!("{}{SHOWN}", writer.pid()));
    let log = host.output(&[
        "--stdout",
        "--once",
        "--set",
        "log.level=debug",
        "--set",
        "log.format=text",
    ]);
    assert_shown(
        &String::from_utf8(log.stderr).unwrap(),
        &format!("{}{SHOWN}", writer.pid()),
    );
}
