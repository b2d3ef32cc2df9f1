//! The program as its users start it: exit codes, signals, listeners, environment.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use free_port::free_address;
use program_support::{PATIENCE, Running, get, wait_for};
use serde_json::Value;

fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    agent(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A simulated process that writes every 100 ms.
fn writer(dir: &Path) -> Running {
    writer_at(dir, "100ms")
}

/// The same at another interval.
fn writer_at(dir: &Path, interval: &str) -> Running {
    let dir = dir.to_str().unwrap();
    let arguments = ["simulate", "hailo", "--dir", dir, "--interval", interval];
    let simulator = Running::start(agent(&arguments));
    wait_for("a monitor file", || {
        let mut files = std::fs::read_dir(dir).ok()?.flatten();
        files
            .find(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 0))
            .map(drop)
    });
    simulator
}

#[test]
fn a_wrong_key_is_named_with_its_place_and_the_nearest_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(
        &file,
        "[hailo]\nmin_intervall = \"1s\"\n\n[otlp]\ninterval = \"soon\"\n",
    )
    .unwrap();
    for arguments in [
        vec!["check-config", file.to_str().unwrap()],
        vec!["--config", file.to_str().unwrap()],
    ] {
        let output = output(&arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(
            text.contains("agent.toml:2:1") && text.contains("did you mean hailo.min_interval?"),
            "{text}"
        );
        assert!(
            text.contains("agent.toml:5:") && text.contains("\"soon\" is not a duration"),
            "{text}"
        );
    }
    let text = stderr(
        &agent(&["--stdout"])
            .env("ACCELSCOPE__HAILO__DIRR", "/x")
            .output()
            .unwrap(),
    );
    assert!(
        text.contains("ACCELSCOPE__HAILO__DIRR") && text.contains("hailo.dir"),
        "{text}"
    );
    assert_eq!(output(&["--no-such-flag"]).status.code(), Some(64));
    assert_eq!(output(&["--help"]).status.code(), Some(0));
    assert_eq!(output(&["worker", "nobody"]).status.code(), Some(64));
}

#[test]
fn the_variables_of_a_kubernetes_service_of_the_same_name_never_matter() {
    let folder = tempfile::tempdir().unwrap();
    let dir = format!("hailo.dir={}", folder.path().display());
    let mut command = agent(&["--stdout", "--once", "--format", "json", "--set", &dir]);
    for (name, value) in [
        ("ACCELSCOPE_SERVICE_HOST", "10.0.0.1"),
        ("ACCELSCOPE_SERVICE_PORT", "9464"),
        ("ACCELSCOPE_SERVICE_PORT_METRICS", "9464"),
        ("ACCELSCOPE_PORT", "tcp://10.0.0.1:9464"),
        ("ACCELSCOPE_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("ACCELSCOPE_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("ACCELSCOPE_PORT_9464_TCP_PROTO", "tcp"),
    ] {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn one_look_is_complete_and_a_sampler_that_failed_makes_it_exit_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("hmon_files");
    let _writer = writer(&dir);
    let setting = format!("hailo.dir={}", dir.display());
    let seen = output(&["--stdout", "--once", "--set", &setting]);
    assert_eq!(seen.status.code(), Some(0), "{}", stderr(&seen));
    let points = lines(&seen);
    let named = |name: &str| points.iter().filter(|point| point["name"] == name).collect::<Vec<_>>();
    let [rate] = named("hailo.network.frame_rate")[..] else {
        panic!("{points:?}")
    };
    assert_eq!(
        (&rate["value"], &rate["unit"], &rate["type"]),
        (&30.0.into(), &"{frame}/s".into(), &"gauge".into())
    );
    assert_eq!(rate["attributes"]["process.executable.name"], "agent");
    let [process] = named("hailo.process.utilization")[..] else {
        panic!("{points:?}")
    };
    assert!(process["attributes"]["process.pid"].is_u64(), "{process}");

    let empty = tempfile::tempdir().unwrap();
    let nothing = format!("hailo.dir={}", empty.path().display());
    for (enabled, code) in [("auto", 0), ("true", 1)] {
        let switch = format!("hailo.enabled={enabled}");
        let looked = output(&["--stdout", "--once", "--set", &nothing, "--set", &switch]);
        assert_eq!(looked.status.code(), Some(code), "{}", stderr(&looked));
    }

    let file = folder.path().join("no-directory");
    std::fs::write(&file, "").unwrap();
    let failed = output(&["--stdout", "--once", "--set", &format!("hailo.dir={}", file.display())]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("no-directory"), "{}", stderr(&failed));
}

#[test]
fn a_series_that_ends_is_shown_once_with_null() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("hmon_files");
    let simulator = writer(&dir);
    let mut command = agent(&[
        "--stdout",
        "--format",
        "json",
        "--set",
        &format!("hailo.dir={}", dir.display()),
    ]);
    command.stdout(Stdio::piped());
    let mut running = Running::start(command);
    let mut points = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut next = |name: &str| {
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "no more of {name}");
            let point: Value = serde_json::from_str(&points.next().unwrap().unwrap()).unwrap();
            if point["name"] == name {
                return point;
            }
        }
    };
    assert_eq!(next("hailo.network.frame_rate")["value"], 30.0);
    simulator.terminate();
    let ended = std::iter::repeat_with(|| next("hailo.network.frame_rate")).find(|point| point["value"].is_null());
    assert_eq!(ended.unwrap()["attributes"]["hailo.network.name"], "yolov8n");
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn who_stops_reading_ends_the_program_without_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = agent(&["--stdout", "--format", "json", "--demo"]);
    command
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut reader = BufReader::new(running.0.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    assert_eq!(running.exit_code(), Some(0));
    let mut said = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the demonstration left something behind"
    );
}

#[test]
fn a_signal_ends_it_in_time_although_nobody_reads_what_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let _writer = writer(folder.path());
    for format in ["json", "otlp-json", "prometheus"] {
        let took = || {
            let mut command = agent(&["--stdout", "--format", format, "--set", "otlp.interval=100ms"]);
            command
                .env("ACCELSCOPE__HAILO__DIR", folder.path())
                .env("ACCELSCOPE__HAILO__MIN_INTERVAL", "100ms")
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut running = Running::start(command);
            let unread = running.0.stdout.take().unwrap();
            rustix::pipe::fcntl_setpipe_size(&unread, 1).unwrap();
            let capacity = rustix::pipe::fcntl_getpipe_size(&unread).unwrap() as u64;
            wait_for("the pipe to be full", || {
                // A line is written as a whole or not at all.
                (rustix::io::ioctl_fionread(&unread).unwrap() + 512 > capacity).then_some(())
            });
            end_of(&mut running)
        };
        assert_is_in_time(format, took);
    }
}

/// How long the program takes to end that is told to.
fn end_of(running: &mut Running) -> Duration {
    let asked = Instant::now();
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
    asked.elapsed()
}

/// Fails unless one of several ends takes less than three seconds: a slow machine may stand still in one, and what is waited for
/// in each keeps them all.
#[track_caller]
fn assert_is_in_time(what: &str, end: impl FnMut() -> Duration) {
    let mut took = std::iter::repeat_with(end).take(5);
    let is_one = took.any(|took| took < Duration::from_secs(3));
    assert!(is_one, "{what}: none of five ends takes less than three seconds");
}

#[test]
fn it_serves_its_own_metrics_and_those_of_the_exporter_that_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("hmon_files");
    std::fs::create_dir(&dir).unwrap();
    let (main, compat) = (free_address(), free_address());
    let mut command = agent(&[]);
    command
        .env("ACCELSCOPE__HAILO__DIR", &dir)
        .env("ACCELSCOPE__HTTP__LISTEN", main.to_string())
        .env("ACCELSCOPE__COMPAT__HAILO_EXPORTER__LISTEN", compat.to_string())
        .env("OTEL_SDK_DISABLED", "true")
        .stderr(Stdio::null());
    let mut running = Running::start(command);
    let ready = wait_for("readiness", || {
        get(main, "/readyz").filter(|answer| answer.status == 200)
    });
    assert!(ready.body.contains("hailo: nothing_here"), "{}", ready.body);
    assert_eq!(get(main, "/healthz").unwrap().status, 200);
    let name = "hailo_NPU_utilization_percent{NPU=\"NPU\"}";
    let before = get(compat, "/metrics").unwrap();
    assert!(
        before.status == 200 && !before.body.contains(name),
        "not zero while nothing is known: {}",
        before.body
    );

    let _writer = writer_at(&dir, "2s");
    let percent = || -> Option<f64> {
        let body = get(compat, "/metrics")?.body;
        body.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let ratio = || -> Option<f64> {
        let body = get(main, "/metrics")?.body;
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix("hw_npu_utilization_ratio{"))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    // They are read one after the other while the values change, so they agree where no write comes between.
    wait_for("both views to show the same utilization", || {
        let (percent, ratio) = (percent()?, ratio()?);
        (percent > 0.0 && (percent - ratio * 100.0).abs() < 1e-6).then_some(())
    });
    running.terminate();
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn a_disabled_sdk_pushes_nothing_and_an_enabled_one_does() {
    let folder = tempfile::tempdir().unwrap();
    for (disabled, expected) in [("true", false), ("false", true)] {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let http = free_address();
        let mut command = agent(&[]);
        command
            .env("OTEL_SDK_DISABLED", disabled)
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", receiver.local_addr().unwrap()),
            )
            .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
            .env("ACCELSCOPE__HAILO__DIR", folder.path())
            .env("ACCELSCOPE__HTTP__LISTEN", http.to_string())
            .stderr(Stdio::null());
        let _running = Running::start(command);
        if expected {
            wait_for("a connection of the pusher", || receiver.accept().ok());
        } else {
            wait_for("readiness", || {
                get(http, "/readyz").filter(|answer| answer.status == 200)
            });
            // A dozen export intervals.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1200) {
                assert_eq!(get(http, "/metrics").unwrap().status, 200);
            }
            assert!(receiver.accept().is_err(), "something was pushed");
        }
    }
}

#[test]
fn told_to_stop_it_is_gone_within_three_seconds_whatever_its_receiver_does() {
    let folder = tempfile::tempdir().unwrap();
    // Accepts connections and never answers.
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("otlp.endpoint=http://{}", receiver.local_addr().unwrap());
    let dir = format!("hailo.dir={}", folder.path().display());
    assert_is_in_time("beside a receiver that does not answer", || {
        let http = free_address();
        let listen = format!("http.listen={http}");
        let mut command = agent(&["--set", &endpoint, "--set", &dir, "--set", &listen]);
        command.stderr(Stdio::null());
        let mut running = Running::start(command);
        wait_for("readiness", || {
            get(http, "/readyz").filter(|answer| answer.status == 200)
        });
        end_of(&mut running)
    });
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("http.listen={}", taken.local_addr().unwrap());
    let output = output(&["--set", &listen, "--set", "otlp.enabled=false"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("http.listen") && text.contains(&taken.local_addr().unwrap().to_string()),
        "{text}"
    );
}

#[test]
fn the_doctor_says_what_is_missing_and_fails_only_where_a_device_must_be() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("sys/class")).unwrap();
    std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
    let setting = format!("host.root={}", root.path().display());
    let listen = format!("http.listen={}", free_address());
    let doctor = |more: &[&str]| {
        let mut arguments = vec![
            "doctor",
            "--set",
            &setting,
            "--set",
            &listen,
            "--set",
            "otlp.enabled=false",
        ];
        arguments.extend(more);
        output(&arguments)
    };
    let said = doctor(&["--json"]);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    let findings: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap();
    let accelerators = findings
        .iter()
        .find(|finding| finding["about"] == "accelerators")
        .unwrap();
    assert_eq!(accelerators["level"], "none");
    assert!(
        accelerators["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("driver"))
    );
    let text = doctor(&[]);
    let text = std::str::from_utf8(&text.stdout).unwrap();
    let begun = text.lines().filter(|line| !line.starts_with("      ")).count();
    assert_eq!(begun, findings.len(), "{text}");
    let required = doctor(&["--set", "hailo.enabled=true"]);
    assert_eq!(
        required.status.code(),
        Some(1),
        "a source that must have accelerators has none"
    );
}
