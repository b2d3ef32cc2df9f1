//! Configuration as the program's users meet it: proxies, files that never answer, reloading, switches that leave nothing.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod receiver_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use free_port::free_address;
use program_support::{Logged, Running, get, wait_for};
use receiver_support::Receiver;
use rustix::process::Signal;

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// Without a source, so that it has only its own metrics.
fn agent(arguments: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn set(command: &mut Command, settings: &[&str]) {
    for setting in settings {
        command.args(["--set", setting]);
    }
}

/// Its output, if it ends in time.
fn output(mut command: Command) -> (Option<i32>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let code = running.exit_code();
    let mut text = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    running.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (code, text)
}

/// A proxy that passes every request on to `receiver`, and the heads of the requests.
fn proxy(receiver: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = heads.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, seen) = (client.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if client.read_exact(&mut byte).is_err() {
                        return;
                    }
                    head.push(byte[0]);
                }
                seen.lock().unwrap().push(String::from_utf8(head.clone()).unwrap());
                let mut server = TcpStream::connect(receiver).unwrap();
                if head.starts_with(b"CONNECT") {
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                } else {
                    server.write_all(&head).unwrap();
                }
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::io::copy(&mut server, &mut client).ok();
            });
        }
    });
    (address, heads)
}

#[test]
fn the_proxy_of_the_environment_is_used_and_its_password_shown_nowhere() {
    let receiver = Receiver::start();
    let (address, heads) = proxy(receiver.address);
    let variable = format!("http://me:hunter2@{address}");
    let folder = tempfile::tempdir().unwrap();
    let sockets = folder.path().to_str().unwrap();
    let directory = format!("status.directory={sockets}");
    let mut command = agent(&[]);
    let settings = [
        directory.as_str(),
        "otlp.endpoint=http://collector.invalid:4318",
        "otlp.protocol=http/protobuf",
        "otlp.interval=100ms",
        "log.level=debug",
        "http.enabled=false",
    ];
    set(&mut command, &settings);
    command.env("HTTP_PROXY", &variable);
    let logged = Logged::start(command);
    wait_for("points through the proxy", || {
        (!receiver.points().is_empty()).then_some(())
    });
    let head = heads.lock().unwrap()[0].clone();
    assert!(
        head.starts_with("POST http://collector.invalid:4318/v1/metrics "),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("proxy-authorization: basic bwu6ahvudgvymg=="),
        "{head}"
    );
    let named = format!("http://{address} (HTTP_PROXY)");
    logged.wait_for(&named);
    assert!(!logged.log().contains("hunter2"), "{}", logged.log());

    let doctor = |asks: &str, no_proxy: &str, endpoint: &str| {
        let mut doctor = agent(&["doctor", "--json"]);
        let endpoint = format!("otlp.endpoint={endpoint}");
        let directory = format!("status.directory={asks}");
        set(
            &mut doctor,
            &[
                "http.enabled=false",
                "otlp.protocol=http/protobuf",
                &endpoint,
                &directory,
            ],
        );
        doctor.env("HTTP_PROXY", &variable).env("NO_PROXY", no_proxy);
        let (_, text) = output(doctor);
        assert!(!text.contains("hunter2"), "{text}");
        text
    };
    let through = doctor("", "", "http://collector.invalid:4318/?key=hunter2");
    assert!(
        through.contains(&format!("through the proxy {named}, which accepts connections")) && through.contains("?…"),
        "{through}"
    );
    let excepted = doctor("", "invalid", "http://collector.invalid:4318");
    assert!(excepted.contains("directly (NO_PROXY names it)"), "{excepted}");
    let asked = doctor(sockets, "", "http://collector.invalid:4318");
    assert!(
        asked.contains(&format!("; it is reached through the proxy {named}")),
        "{asked}"
    );
}

/// OpenTelemetry's exporter has connections of its own.
#[test]
fn the_log_takes_the_proxy_of_the_environment_with_and_without_tls() {
    let receiver = Receiver::start();
    for (scheme, variable) in [("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")] {
        let (address, heads) = proxy(receiver.address);
        let mut command = agent(&[]);
        set(
            &mut command,
            &["otlp.endpoint=http://127.0.0.1:9", "http.enabled=false"],
        );
        command
            .env(variable, format!("http://me:hunter2@{address}"))
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env(
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                format!("{scheme}://logs.invalid:4317"),
            );
        let logged = Logged::start(command);
        let head = wait_for("a request to the proxy", || heads.lock().unwrap().first().cloned());
        assert!(head.starts_with("CONNECT logs.invalid:4317 "), "{head}");
        assert!(
            head.to_lowercase()
                .contains("proxy-authorization: basic bwu6ahvudgvymg=="),
            "{head}"
        );
        assert!(!logged.log().contains("hunter2"), "{}", logged.log());
    }
}

#[test]
fn a_log_whose_way_is_wrong_ends_the_start_with_the_variable() {
    for (name, value, expected) in [
        (
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "gopher://logs:4317",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        ),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "5s", "5000 for five seconds"),
        ("ALL_PROXY", "socks5://proxy:1080", "ALL_PROXY: names a SOCKS proxy"),
    ] {
        let mut command = agent(&[]);
        // This machine itself is reached without a proxy.
        set(
            &mut command,
            &["otlp.endpoint=http://127.0.0.1:9", "http.enabled=false"],
        );
        command
            .env("OTEL_LOGS_EXPORTER", "otlp")
            .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs.invalid:4317")
            .env(name, value);
        let (code, text) = output(command);
        assert_ne!(code, Some(0), "{text}");
        assert!(
            text.contains(expected) && text.contains("the log cannot be sent"),
            "{text}"
        );
    }
}

#[test]
fn a_socks_proxy_is_refused_where_it_would_be_needed() {
    let mut command = agent(&[]);
    set(&mut command, &["otlp.endpoint=http://collector.invalid:4317"]);
    command.env("ALL_PROXY", "socks5h://me:hunter2@127.0.0.1:1080");
    let (code, text) = output(command);
    assert_eq!(code, Some(64), "{text}");
    assert!(
        text.contains("ALL_PROXY: names a SOCKS proxy") && !text.contains("hunter2"),
        "{text}"
    );
}

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
}

#[test]
fn a_file_that_never_answers_is_named_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let pipe = pipe.to_str().unwrap();
    for arguments in [
        &["--config", pipe][..],
        &["check-config", pipe],
        &["doctor", "--config", pipe],
    ] {
        let (code, text) = output(agent(arguments));
        assert_eq!(code, Some(64), "{arguments:?}: {text}");
        assert!(
            text.contains(&format!("{pipe}: is a FIFO (named pipe); name a regular file")),
            "{arguments:?}: {text}"
        );
    }
    let (code, text) = output(agent(&["check-config", folder.path().to_str().unwrap()]));
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("is a directory; name a regular file"), "{text}");
    for (key, path, expected) in [
        ("headers_file", pipe, "is a FIFO"),
        ("ca_file", pipe, "is a FIFO"),
        ("ca_file", "/dev/zero", "is a device"),
        ("headers_file", folder.path().to_str().unwrap(), "is a directory"),
    ] {
        let mut command = agent(&[]);
        let setting = format!("otlp.{key}={path}");
        set(
            &mut command,
            &[&setting, "otlp.endpoint=https://127.0.0.1:1", "http.enabled=false"],
        );
        let (code, text) = output(command);
        assert_eq!(code, Some(64), "{setting}: {text}");
        assert!(text.contains(path) && text.contains(expected), "{setting}: {text}");
    }
}

#[test]
fn a_pipe_that_the_shell_gives_is_a_configuration() {
    let mut command = Command::new("bash");
    command.args([
        "-c",
        &format!("{AGENT} check-config <(printf '[otlp]\\ninterval = \"7s\"\\n')"),
    ]);
    command.env_clear();
    let (code, text) = output(command);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn an_agent_that_would_give_nothing_to_anybody_is_not_started() {
    let off = ["http.enabled=false", "otlp.enabled=false"];
    let mut command = agent(&[]);
    set(&mut command, &off);
    let (code, text) = output(command);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("set otlp.enabled or http.enabled to true"), "{text}");
    let mut command = agent(&[]);
    set(&mut command, &off[..1]);
    command.env("OTEL_SDK_DISABLED", "true");
    let (code, text) = output(command);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("unset OTEL_SDK_DISABLED"), "{text}");
    let mut command = agent(&["--stdout", "--once", "--format", "json"]);
    set(&mut command, &off);
    assert_eq!(output(command).0, Some(0));
}

#[test]
fn a_variable_with_one_underscore_is_not_passed_over() {
    let mut command = agent(&["--stdout", "--once"]);
    command.env("ACCELSCOPE_OTLP_ENDPOINT", "http://collector:4317");
    let (code, text) = output(command);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("did you mean ACCELSCOPE__OTLP__ENDPOINT?"), "{text}");
}

#[test]
fn a_hangup_reads_the_configuration_again_and_keeps_the_old_one_where_the_new_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let (first, second) = (Receiver::start(), Receiver::start());
    let write = |receiver: &Receiver, more: &str| {
        let text = format!(
            "http.enabled = false\n[otlp]\nendpoint = \"http://{}\"\nprotocol = \"http/protobuf\"\ninterval = \"100ms\"\n{more}",
            receiver.address
        );
        std::fs::write(&file, text).unwrap();
    };
    write(&first, "");
    let logged = Logged::start(agent(&["--config", file.to_str().unwrap()]));
    wait_for("a push", || (!first.points().is_empty()).then_some(()));

    write(&second, "intervall = \"1s\"\n");
    logged.running.signal(Signal::HUP);
    logged.wait_for("agent.toml:6:1: otlp.intervall: unknown key");
    assert!(
        logged.log().contains("the running configuration is kept"),
        "{}",
        logged.log()
    );
    write(&second, "headers_file = \"/nonexistent/headers\"\n");
    logged.running.signal(Signal::HUP);
    logged.wait_for("cannot read headers_file /nonexistent/headers");
    let before = first.points().len();
    wait_for("a push to the first receiver", || {
        (first.points().len() > before).then_some(())
    });
    assert!(second.points().is_empty());

    write(&second, "[limits]\nseries = 9\n[log]\nlevel = \"debug\"\n");
    logged.running.signal(Signal::HUP);
    logged.wait_for("needs a restart of the agent: limits.series");
    wait_for("a push to the second receiver", || {
        (!second.points().is_empty()).then_some(())
    });

    write(
        &second,
        "queue_bytes = \"9MiB\"\n[otlp.destinations.edge]\nendpoint = \"http://127.0.0.1:9\"\n[log]\nlevel = \"debug\"\n",
    );
    logged.running.signal(Signal::HUP);
    logged.wait_for("needs a restart of the agent: otlp.destinations.edge.enabled, otlp.queue_bytes");

    // Between an editor's removal of the old file and its new one.
    std::fs::remove_file(&file).unwrap();
    logged.running.signal(Signal::HUP);
    logged.wait_for("no such file");

    // Between the truncation of the file and what is written to it, as cp(1) does.
    for empty in ["", " \n"] {
        let seen = logged.log().matches("is empty, as a file is for a moment").count();
        std::fs::write(&file, empty).unwrap();
        logged.running.signal(Signal::HUP);
        wait_for("the error", || {
            (logged.log().matches("is empty, as a file is for a moment").count() > seen).then_some(())
        });
    }
    let before = second.points().len();
    wait_for("a push to the second receiver", || {
        (second.points().len() > before).then_some(())
    });
    write(&second, "[log]\nlevel = \"debug\"\n");
    logged.running.signal(Signal::HUP);
    logged.wait_for("reloaded: configuration and credentials were read again");
    logged.running.terminate();
    let mut running = logged.running;
    assert_eq!(running.exit_code(), Some(0));
}

#[test]
fn a_configuration_from_a_pipe_is_kept_at_a_hangup() {
    let receiver = Receiver::start();
    let mut command = agent(&["--config", "-"]);
    command.stdin(Stdio::piped());
    let mut logged = Logged::start(command);
    let mut pipe = logged.running.0.stdin.take().unwrap();
    write!(
        pipe,
        "http.enabled = false\n[otlp]\nendpoint = \"http://{}\"\nprotocol = \"http/protobuf\"\ninterval = \"100ms\"\n",
        receiver.address
    )
    .unwrap();
    drop(pipe);
    wait_for("a push", || (!receiver.points().is_empty()).then_some(()));
    logged.running.signal(Signal::HUP);
    logged.wait_for("was read at the start and is empty since");
    let before = receiver.points().len();
    wait_for("a push after the signal", || {
        (receiver.points().len() > before).then_some(())
    });
}

#[test]
fn a_hangup_frees_what_waits_for_new_credentials() {
    // Refuses until the header is right; the queue is held with an attempt a minute.
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "authorization: Bearer old-token\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<u16>>>::default();
    let answered = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut status, mut length) = (401, 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                let line = line.to_lowercase();
                if line.contains("bearer new-token") {
                    status = 200;
                }
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink()).unwrap();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            // Before the agent can say so.
            answered.lock().unwrap().push(status);
            stream.get_mut().write_all(answer.as_bytes()).ok();
        }
    });
    let mut command = agent(&[]);
    let settings = [
        format!("otlp.endpoint=http://{address}"),
        format!("otlp.headers_file={}", headers.display()),
        "otlp.protocol=http/protobuf".to_owned(),
        "otlp.interval=200ms".to_owned(),
        // One that expires is tried again.
        "otlp.timeout=10m".to_owned(),
        "http.enabled=false".to_owned(),
    ];
    set(&mut command, &settings.each_ref().map(String::as_str));
    let mut logged = Logged::start(command);
    logged.wait_for("http_401");
    std::fs::write(&headers, "authorization: Bearer new-token\n").unwrap();
    logged.running.signal(Signal::HUP);
    logged.wait_for("reloaded: configuration and credentials were read again");
    logged.wait_for("destination accepts points again");
    assert_eq!(logged.running.0.try_wait().unwrap(), None, "it goes on");
    assert_eq!(seen.lock().unwrap()[..2], [401, 200], "without an attempt in between");
}

#[test]
fn a_label_that_is_named_twice_stands_once_and_a_wrong_path_is_answered_with_the_right_ones() {
    let (http, view) = (free_address(), free_address());
    let mut command = agent(&[]);
    let settings = [
        format!("http.listen={http}"),
        format!("compat.hailo_exporter.listen={view}"),
        "http.resource_labels=host.name,host.name".to_owned(),
        "resource.host.name=vm".to_owned(),
        "otlp.enabled=false".to_owned(),
    ];
    set(&mut command, &settings.each_ref().map(String::as_str));
    let logged = Logged::start(command);
    let metrics = wait_for("metrics", || {
        get(http, "/metrics").filter(|answer| answer.body.contains("host_name=\"vm"))
    });
    assert!(!metrics.body.contains("vm;vm"), "{}", metrics.body);
    logged.wait_for("http.resource_labels: names host.name more than once");
    for address in [http, view] {
        let missing = get(address, "/no/such/path").unwrap();
        assert_eq!(missing.status, 404);
        let (_, listed) = missing
            .body
            .trim_end()
            .trim_end_matches('.')
            .split_once("there is ")
            .unwrap();
        for path in listed.split(", ") {
            assert_ne!(get(address, path).unwrap().status, 404, "{path} of {}", missing.body);
        }
        assert!(listed.contains("/metrics"), "{}", missing.body);
    }
}
