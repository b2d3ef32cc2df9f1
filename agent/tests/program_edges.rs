//! The program in adverse conditions: crowded directories, closed terminals, full disks.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use free_port::free_address;
use program_support::{Logged, Running, get, wait_for};

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn once(format: &str, settings: &[&str]) -> Output {
    let mut command = agent(&["--stdout", "--once", "--format", format]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.output().unwrap()
}

fn signal(running: &Running, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(running.0.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn what_killed_writers_left_behind_hides_no_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("hmon_files");
    let simulator = agent(&[
        "simulate",
        "hailo",
        "--interval",
        "100ms",
        "--dir",
        dir.to_str().unwrap(),
    ]);
    let _simulator = Running::start(simulator);
    let written = wait_for("a monitor file", || {
        let mut files = std::fs::read_dir(&dir).ok()?.flatten();
        files.find_map(|file| std::fs::read(file.path()).ok().filter(|bytes| !bytes.is_empty()))
    });
    let day = Duration::from_hours(24);
    for number in 0..2000 {
        let mut file = File::create(dir.join(format!("{number}leftbehind"))).unwrap();
        file.write_all(&written).unwrap();
        file.set_modified(SystemTime::now() - day).unwrap();
    }
    let setting = format!("hailo.dir={}", dir.display());
    // A reading may coincide with the writer's truncation of its file.
    wait_for("the live network", || {
        let seen = once("json", &[&setting]);
        let text = String::from_utf8(seen.stdout).unwrap();
        text.contains("\"hailo.network.frame_rate\"").then_some(())
    });
    let table = String::from_utf8(once("table", &[&setting]).stdout).unwrap();
    assert!(table.contains("are left out") && table.contains("-delete"), "{table}");
}

#[test]
fn a_closed_terminal_ends_it_like_any_other_signal_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = agent(&["--stdout", "--format", "json", "--demo"]);
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped());
    let mut running = Running::start(command);
    let mut first = [0];
    running.0.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(entries(folder.path()), 1);
    signal(&running, rustix::process::Signal::HUP);
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(entries(folder.path()), 0);
}

#[test]
fn started_by_nohup_it_goes_on_when_the_terminal_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let http = free_address();
    let mut command = Command::new("nohup");
    command.arg(AGENT).env("ACCELSCOPE__HAILO__DIR", folder.path());
    command.env("ACCELSCOPE__HTTP__LISTEN", http.to_string());
    command.env("OTEL_SDK_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running::start(command);
    wait_for("readiness", || {
        get(http, "/readyz").filter(|answer| answer.status == 200)
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & 1
    };
    assert_eq!((mask("SigIgn:"), mask("SigCgt:")), (1, 0), "{status}");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn a_full_disk_ends_every_format_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let setting = format!("hailo.dir={}", folder.path().display());
    for format in ["table", "json", "otlp-json", "prometheus"] {
        let mut command = agent(&["--stdout", "--format", format, "--set", &setting]);
        command.args(["--set", "otlp.interval=100ms"]);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}: {text}");
        assert!(text.contains("No space left"), "{format}: {text}");
    }
}

#[test]
fn a_list_may_be_given_as_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let dir = format!("hailo.dir={}", folder.path().display());
    for labels in ["[\"host.name\", \"os.type\"]", "host.name,os.type"] {
        let output = once("prometheus", &[&dir, &format!("http.resource_labels={labels}")]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.lines()
                .any(|line| line.starts_with("agent_") && line.contains("host_name=") && line.contains("os_type=")),
            "{labels}: {text}"
        );
    }
    let wrong = once("prometheus", &[&dir, "http.resource_labels=[host.name]"]);
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(64), "{text}");
    assert!(text.contains("is not a list"), "{text}");
}

#[test]
fn a_configuration_can_be_checked_from_a_pipe() {
    for (text, code) in [("[hailo]\ndir = \"/x\"\n", 0), ("[hailo]\ndirr = \"/x\"\n", 64)] {
        let mut command = agent(&["check-config", "-"]);
        command
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        let mut running = Running::start(command);
        let mut input = running.0.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        assert_eq!(running.exit_code(), Some(code), "{text}");
    }
}

#[test]
fn the_prefix_of_variables_may_be_in_lower_case() {
    let output = agent(&["--stdout", "--once"])
        .env("accelscope__hailo__dirr", "/x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("hailo.dir"));
}

#[test]
fn a_terminal_that_obeys_no_commands_is_sent_none() {
    for (term, commanded) in [("dumb", false), ("xterm", true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("script");
        command.args(["-qefc", &format!("'{AGENT}' --stdout --demo"), "/dev/null"]);
        command
            .env("TERM", term)
            .env("TMPDIR", folder.path())
            .env("SHELL", "/bin/sh");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let Ok(child) = command.spawn() else {
            println!("SKIPPED: there is no script(1) to make a terminal");
            return;
        };
        let mut running = Running(child);
        let mut out = running.0.stdout.take().unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("DEVICES") {
            let mut some = [0; 4096];
            let count = out.read(&mut some).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&some[..count]);
        }
        assert_eq!(seen.contains(&0x1b), commanded, "{term}");
        running.terminate();
        wait_for("the demonstration's folder to go", || {
            (entries(folder.path()) == 0).then_some(())
        });
    }
}

#[test]
fn a_receiver_of_another_protocol_is_told_with_what_to_change() {
    // An HTTP/1.1 server's answer, and the first bytes of a gRPC server's: an empty SETTINGS frame.
    let (old, new) = (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0");
    for (scheme, protocol, answer, remedy) in [
        ("https", "grpc", old.as_slice(), "write http://"),
        ("https", "http/protobuf", old, "write http://"),
        ("http", "grpc", old, "http/protobuf"),
        ("http", "http/protobuf", new, "protocol = \"grpc\""),
    ] {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = agent(&["--set", "http.enabled=false", "--set", "otlp.interval=100ms"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{scheme}://{address}"));
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        command.env("ACCELSCOPE__HAILO__DIR", folder.path());
        command.stderr(Stdio::piped());
        let mut running = Running::start(command);
        let log = BufReader::new(running.0.stderr.take().unwrap());
        std::thread::spawn(move || {
            // Kept open: a closed connection may be reported as such instead.
            let mut held = Vec::new();
            for stream in receiver.incoming() {
                let mut stream = stream.unwrap();
                stream.read_exact(&mut [0; 16]).ok();
                stream.write_all(answer).ok();
                held.push(stream);
            }
        });
        let line = log
            .lines()
            .map(Result::unwrap)
            .find(|line| line.contains("points wait"));
        let line = line.unwrap();
        assert!(line.contains(remedy), "{scheme} {protocol}: {line}");
    }
}

#[test]
fn a_destination_that_inherits_being_off_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = format!("hailo.dir={}", folder.path().display());
    let endpoint = "otlp.destinations.edge.endpoint=http://127.0.0.1:1";
    for (enabled, told) in [(None, true), (Some("otlp.destinations.edge.enabled=true"), false)] {
        let mut settings = vec![dir.as_str(), "otlp.enabled=false", endpoint];
        settings.extend(enabled);
        let text = String::from_utf8(once("json", &settings).stderr).unwrap();
        assert_eq!(text.contains("otlp.destinations.edge: gets nothing"), told, "{text}");
    }
}

/// Threads that still run at the end find their descriptors taken away: nobody is told of a fault. Which of them are seen
/// running is chance.
#[test]
fn an_end_is_silent() {
    for _ in 0..40 {
        let address = free_address();
        let listen = format!("http.listen={address}");
        let mut command = agent(&["--set", "log.level=error", "--set", "otlp.enabled=false"]);
        command.args(["--set", &listen, "--set", "ioctl.enabled=false"]);
        let mut agent = Logged::start(command);
        wait_for("a listener", || get(address, "/healthz"));
        agent.running.terminate();
        assert_eq!(agent.running.exit_code(), Some(0));
        assert_eq!(agent.last_words(), "");
    }
}
