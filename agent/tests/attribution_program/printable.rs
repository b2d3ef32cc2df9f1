//! Names of programs, containers and images that would move a terminal's cursor, make lines in the log or hide themselves.

use std::fs::File;
use std::process::Stdio;

use serde_json::json;

use crate::group_support::new_id;
use crate::machine::Machine;
use crate::of_container;
use crate::program_support::{Running, get, wait_for};
use crate::receiver_support::Receiver;

/// Ends a line, clears a screen, turns the direction of text, and has a space that nobody sees.
const HOSTILE: &str = "a\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{202e}\u{200b}b";
/// How it begins where people read it.
const SHOWN: &str = "a\\n2026-01-01T00:00:00Z";

/// A machine with a container of these names, in which a program of that name runs.
fn machine(id: &str) -> Option<Machine> {
    let mut machine = Machine::new()?;
    let about = json!({"Name": format!("/{HOSTILE}"), "Config": {"Image": HOSTILE}});
    machine.write(
        &format!("/var/lib/docker/containers/{id}/config.v2.json"),
        &about.to_string(),
    );
    let program = machine.path("bin").join(HOSTILE);
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::copy("/bin/sleep", &program).unwrap();
    machine.holder_of(&format!("docker/{id}"), &program);
    Some(machine)
}

#[track_caller]
fn assert_printable(text: &str) {
    for line in text.lines() {
        assert!(!line.starts_with("2026-01-01"), "a forged line: {text:?}");
        let hostile = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!line.contains(hostile), "{line:?}");
    }
}

/// Without the breaks of long lines.
fn joined(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn people_see_such_names_escaped_and_programs_get_them_as_they_are() {
    let id = new_id();
    let Some(machine) = machine(&id) else { return };
    let keys = ["container.name", "container.image.name", "process.executable.name"];

    let (holders, errors) = machine.holders("");
    let exact = of_container(&holders, &id);
    for key in keys {
        assert_eq!(exact[key], HOSTILE, "{key} {errors}");
    }
    let table = "--stdout --once --format table";
    for arguments in [table, "doctor", &format!("{table} --set log.level=debug")] {
        let output = machine.agent(arguments).output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8(all).unwrap();
        assert_printable(&all);
        assert!(
            arguments == "doctor" || joined(&all).contains(SHOWN),
            "{arguments}: {all}"
        );
    }

    let receiver = Receiver::start();
    let pull = free_port::free_address();
    let settings = receiver.settings().into_iter().chain([
        format!("http.listen={pull}"),
        "log.level=debug".to_owned(),
        "log.format=text".to_owned(),
    ]);
    let settings: Vec<String> = settings.map(|set| format!("--set {set}")).collect();
    let mut command = machine.agent(&settings.join(" "));
    let log = machine.path("log");
    command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
    // It ends with the machine: nsenter(1), which starts it, passes no signal on.
    let _agent = Running::start(command);
    let pushed = wait_for("the push", || {
        let mut points = receiver.of("accel.device.processes").into_iter();
        points.find(|point| point.has(&[("container.id", &id)]))
    });
    for key in keys {
        assert_eq!(pushed.attributes[key], HOSTILE, "{key}");
    }
    let line = wait_for("the pull", || {
        let body = get(pull, "/metrics")?.body;
        assert!(!body.lines().any(|line| line.starts_with("2026-01-01")), "{body}");
        body.lines().find(|line| line.contains(&id)).map(str::to_owned)
    });
    // The format escapes a line break, and nothing else of these.
    let label = format!("container_name=\"{}\"", HOSTILE.replace('\n', "\\n"));
    assert!(line.contains(&label), "{line:?}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert_printable(&log);
    assert!(log.contains("serving") || log.contains("pushing"), "{log}");
}
