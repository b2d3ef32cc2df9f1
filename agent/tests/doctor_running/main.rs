//! `agent doctor` beside a running agent, as an operator calls it.
#![allow(clippy::unwrap_used, reason = "a test program")]

#[path = "../program_support/mod.rs"]
mod program_support;
mod reload;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use free_port::free_address;
use program_support::{Running, get, wait_for};
use serde_json::Value;
use skip_test::skip;

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// A host with the processes of this one and no accelerator, and a directory for sockets.
struct Host {
    folder: tempfile::TempDir,
    listen: SocketAddr,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("root/sys/class")).unwrap();
        std::os::unix::fs::symlink("/proc", folder.path().join("root/proc")).unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open.clone()).unwrap();
        std::fs::set_permissions(folder.path().join("run"), open).unwrap();
        Self {
            folder,
            listen: free_address(),
        }
    }

    fn settings(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        vec![
            format!("host.root={folder}/root"),
            format!("status.directory={folder}/run"),
            format!("http.listen={}", self.listen),
            "otlp.enabled=false".to_owned(),
        ]
    }

    fn command(&self, program: &[&str], arguments: &[&str], more: &[&str]) -> Command {
        let words: Vec<&str> = program.iter().copied().chain([AGENT]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments);
        for setting in self.settings().iter().map(String::as_str).chain(more.iter().copied()) {
            command.args(["--set", setting]);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).stdin(Stdio::null());
        command
    }

    /// An agent that is ready.
    fn agent(&self, program: &[&str], more: &[&str]) -> Running {
        let running = Running::start(self.command(program, &[], more));
        wait_for("the agent to be ready", || {
            get(self.listen, "/readyz").filter(|answer| answer.status == 200)
        });
        running
    }

    fn doctor(&self, more: &[&str]) -> (Output, Vec<Value>) {
        let output = self.command(&[], &["doctor", "--json"], more).output().unwrap();
        let findings = serde_json::from_slice(&output.stdout).unwrap();
        (output, findings)
    }
}

/// What the doctor says about a subject, with the remedies.
fn said(findings: &[Value], about: &str) -> String {
    let of = findings.iter().filter(|finding| finding["about"] == about);
    let words = of.map(|finding| {
        let part = |key| finding[key].as_str().unwrap_or_default();
        format!("{} {} -> {}\n", part("level"), part("what"), part("remedy"))
    });
    words.collect()
}

/// Sockets that are silent, that send a byte now and then, and that accept no connection: their agents hang or are stopped, or
/// they are somebody else's.
#[test]
fn sockets_that_do_not_answer_are_named_in_time_and_hide_no_agent() {
    let host = Host::new();
    let agent = host.agent(&[], &[]);
    let socket = |name: &str| host.folder.path().join("run").join(name);
    let silent: Vec<_> = (0..4)
        .map(|nth| UnixListener::bind(socket(&format!("agent-s{nth}.sock"))).unwrap())
        .collect();
    let dripping = UnixListener::bind(socket("agent-drips.sock")).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let drips = std::thread::spawn(move || {
        let mut to = dripping.accept().unwrap().0;
        let second = std::time::Duration::from_secs(1);
        while stopped.recv_timeout(second) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            to.write_all(b" ").ok();
        }
    });
    let full = UnixListener::bind(socket("agent-full.sock")).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let waiting = UnixStream::connect(socket("agent-full.sock")).unwrap();

    let begun = std::time::Instant::now();
    let (_, findings) = host.doctor(&[]);
    let took = begun.elapsed();
    stop.send(()).ok();
    drips.join().unwrap();
    let text = said(&findings, "agent");
    assert!(text.contains(&format!("as pid {}", agent.0.id())), "{text}");
    for name in ["agent-s0", "agent-s3", "agent-drips", "agent-full"] {
        let line = text.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.contains("no answer within 20s")),
            "{name}: {text}"
        );
    }
    // One after the other they would take six times as long, and the dripping one for ever.
    assert!(took.as_secs() < 100, "{took:?}");
    drop((silent, full, waiting));
}

/// Clients that ask for nothing do not keep the agent from the doctor.
#[test]
fn silent_clients_hide_no_agent() {
    let host = Host::new();
    let agent = host.agent(&[], &[]);
    let socket = host.folder.path().join(format!("run/agent-{}.sock", agent.0.id()));
    let silent: Vec<_> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let (_, findings) = host.doctor(&[]);
    let text = said(&findings, "agent");
    assert!(text.contains(&format!("as pid {}", agent.0.id())), "{text}");
    drop(silent);
}

#[test]
fn the_doctor_speaks_of_the_running_agent_and_says_when_there_is_none() {
    let host = Host::new();
    let (output, findings) = host.doctor(&[]);
    let text = said(&findings, "agent");
    assert!(text.starts_with("none none runs with this configuration"), "{text}");
    assert_eq!(
        output.status.code(),
        Some(0),
        "nothing is wrong on a node without accelerators"
    );

    let mut agent = host.agent(&[], &[]);
    let pid = format!(
        "as pid {} (agent) of uid {}",
        agent.0.id(),
        rustix::process::geteuid().as_raw()
    );
    let (_, findings) = host.doctor(&[]);
    let text = said(&findings, "agent");
    assert!(text.contains(&pid) && text.starts_with("ok "), "{text}");
    let text = said(&findings, "http");
    assert!(
        text.contains("is the running agent's") && text.starts_with("ok "),
        "{text}"
    );

    // With other settings it would see other things.
    let elsewhere = format!("http.listen={}", free_address());
    let (_, findings) = host.doctor(&[&elsewhere]);
    let text = said(&findings, "agent");
    let other = format!("pid {} (agent) runs with another one", agent.0.id());
    assert!(text.contains(&other) && text.contains("--set host.root="), "{text}");

    agent.terminate();
    assert_eq!(agent.exit_code(), Some(0));
    let left = std::fs::read_dir(host.folder.path().join("run")).unwrap().count();
    assert_eq!(left, 0, "its socket is left");
}

#[test]
fn the_socket_of_an_agent_that_was_killed_misleads_nobody_and_is_removed() {
    let host = Host::new();
    let sockets = || {
        let entries = std::fs::read_dir(host.folder.path().join("run")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let mut agent = host.agent(&[], &[]);
    let abandoned = sockets();
    assert_eq!(abandoned.len(), 1);
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    let (_, findings) = host.doctor(&[]);
    let text = said(&findings, "agent");
    assert!(text.starts_with("none none runs with this configuration"), "{text}");
    let _next = host.agent(&[], &[]);
    wait_for("the next one's socket alone", || {
        let now = sockets();
        (now.len() == 1 && now != abandoned).then_some(())
    });
}

/// The endpoint of a receiver of OTLP over HTTP that answers everything with that.
fn receiver(answer: String) -> String {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("otlp.endpoint=http://{}", receiver.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in receiver.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            // What is left unread would reset the connection, and the answer with it.
            let length = headers(&mut stream).find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().unwrap())
            });
            let _body = stream.read_exact(&mut vec![0; length.unwrap_or(0)]);
            stream.get_mut().write_all(answer.as_bytes()).ok();
        }
    });
    endpoint
}

/// The lines of a request before its body.
fn headers(stream: &mut impl BufRead) -> impl Iterator<Item = String> {
    let lines: Vec<String> = stream
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    lines.into_iter()
}

/// An answer with that status line and body.
fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// What the doctor says of a destination, once that has these words.
fn of_destination(endpoint: &str, words: &str) -> String {
    let host = Host::new();
    let push = [
        "otlp.enabled=true",
        endpoint,
        "otlp.protocol=http/protobuf",
        "otlp.interval=1s",
    ];
    let _agent = host.agent(&[], &push);
    wait_for(words, || {
        let (_, findings) = host.doctor(&push);
        let text = said(&findings, "otlp");
        text.contains(words).then_some(text)
    })
}

#[test]
fn what_a_receiver_says_of_its_own_exporter_or_with_a_partial_success_is_shown() {
    let failing = "Exporting failed. Dropping data: dial tcp 10.0.0.1:9090: connect: connection refused";
    let endpoint = receiver(answer("500 Internal Server Error", failing));
    let text = of_destination(&endpoint, failing);
    assert!(
        text.starts_with("warn destination default does not take what is sent"),
        "{text}"
    );
    assert!(text.contains("see the receiver's log"), "{text}");
    let partial = r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"out of order sample"}}"#;
    let text = of_destination(&receiver(answer("200 OK", partial)), "out of order sample");
    assert!(text.starts_with("warn destination default: "), "{text}");
    let warning = r#"{"partialSuccess":{"errorMessage":"use a newer protocol"}}"#;
    let text = of_destination(&receiver(answer("200 OK", warning)), "use a newer protocol");
    assert!(text.starts_with("warn destination default: "), "{text}");
}

#[test]
fn a_destination_that_refuses_is_shown_as_the_agent_sees_it() {
    let host = Host::new();
    let endpoint = receiver(answer("401 Unauthorized", ""));
    let push = [
        "otlp.enabled=true",
        endpoint.as_str(),
        "otlp.protocol=http/protobuf",
        "otlp.interval=1s",
    ];
    let _agent = host.agent(&[], &push);
    let text = wait_for("the doctor to know of the refusal", || {
        let (_, findings) = host.doctor(&push);
        let text = said(&findings, "otlp");
        text.contains("http_401").then_some(text)
    });
    assert!(
        text.starts_with("warn destination default refuses everything"),
        "{text}"
    );
    assert!(
        text.contains("0 points arrived") && text.contains("0 were dropped"),
        "{text}"
    );
}

#[cfg(all(feature = "hailo", feature = "kubelet"))]
#[test]
fn sources_are_examined_by_the_settings_of_the_agent() {
    let host = Host::new();
    let folder = host.folder.path();
    let files = |name: &str| {
        let dir = folder.join("root").join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("nothing"), "no monitor file").unwrap();
        format!("hailo.dir=/{name}")
    };
    let (of_agent, of_doctor) = (files("of-agent"), files("of-doctor"));
    let _agent = host.agent(&[], &[&of_agent, "kubelet.enabled=false"]);
    let (_, findings) = host.doctor(&[&of_doctor, "hailo.max_age=9s"]);
    let (agent, hailo) = (said(&findings, "agent"), said(&findings, "hailo"));
    assert!(hailo.contains("/of-agent/nothing"), "{hailo}");
    assert!(!hailo.contains("/of-doctor/nothing"), "{hailo}");
    assert!(said(&findings, "kubelet").contains("is switched off"), "{findings:#?}");
    let differences = [
        r#"hailo.dir = "/of-agent" (here "/of-doctor")"#,
        "hailo.max_age =",
        r#"kubelet.enabled = "false" (here "auto")"#,
    ];
    for difference in differences {
        assert!(agent.contains(difference), "{difference}: {agent}");
    }
    assert!(agent.contains("warn the running agent has other settings"), "{agent}");

    let (_, findings) = host.doctor(&[&of_agent, "kubelet.enabled=false"]);
    let agent = said(&findings, "agent");
    assert!(!agent.contains("other settings"), "{agent}");
}

#[test]
fn destinations_that_the_agent_does_not_have_or_has_beside_are_said_so() {
    let host = Host::new();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("otlp.endpoint=http://{}", receiver.local_addr().unwrap());
    let _agent = host.agent(
        &[],
        &[
            "otlp.destinations.edge.enabled=true",
            "otlp.destinations.edge.endpoint=http://127.0.0.1:1",
        ],
    );
    let (_, findings) = host.doctor(&["otlp.enabled=true", &endpoint]);
    let text = said(&findings, "otlp");
    assert!(
        text.contains("warn destination default: the running agent does not push to"),
        "{text}"
    );
    assert!(
        text.contains("destination edge") && text.contains("which this configuration does not have"),
        "{text}"
    );
}

/// A Collector's own metrics at the port that they have, on an address of this machine that no other test has.
fn collectors_metrics(text: &'static str) -> std::net::IpAddr {
    let [a, b] = u16::try_from(std::process::id() % 0xfffe + 1).unwrap().to_be_bytes();
    let address = std::net::IpAddr::from([127, 88, a, b]);
    let listener = TcpListener::bind((address, 8888)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            assert_eq!(headers(&mut stream).next().as_deref(), Some("GET /metrics HTTP/1.0"));
            write!(
                stream.get_mut(),
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{text}"
            )
            .ok();
        }
    });
    address
}

#[test]
fn a_collector_behind_which_nothing_arrives_is_said_to_be_one() {
    let host = Host::new();
    let address = collectors_metrics(
        "otelcol_exporter_queue_size{data_type=\"metrics\",exporter=\"prometheusremotewrite\"} 7\n\
         otelcol_exporter_queue_capacity{data_type=\"metrics\",exporter=\"prometheusremotewrite\"} 10000\n\
         otelcol_exporter_send_failed_metric_points{exporter=\"prometheusremotewrite\"} 4711\n",
    );
    let receiver = TcpListener::bind((address, 0)).unwrap();
    let endpoint = format!("otlp.endpoint=http://{}", receiver.local_addr().unwrap());
    let (_, findings) = host.doctor(&["otlp.enabled=true", &endpoint]);
    let text = said(&findings, "otlp");
    assert!(text.contains("accepts connections"), "{text}");
    let expected = "warn destination default is a Collector whose exporter prometheusremotewrite does not pass on all that it \
                    takes: 0 points were sent and 4711 failed since its start, and 7 of 10000 requests wait in its queue";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn hooks_and_rights_are_the_agents_and_not_the_doctors() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "the agent has to run with fewer rights than the doctor");
    }
    let host = Host::new();
    let watch = ["host.root=/", "ioctl.extra_devices=/dev/full=other"];
    let calls = |findings: &[Value]| said(findings, "ioctl");
    let (_, alone) = host.doctor(&watch);
    let weak = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--no-new-privs",
    ];
    // The program may lie where that user may not look.
    let reachable = Command::new(weak[0])
        .args(&weak[1..])
        .args([AGENT, "--version"])
        .output()
        .unwrap();
    if !reachable.status.success() {
        return skip(
            "reachable-target",
            "another user may not run the agent where it was built",
        );
    }
    // As systemd's RuntimeDirectory: sockets of others do not count.
    std::os::unix::fs::chown(host.folder.path().join("run"), Some(65534), None).unwrap();
    let _agent = host.agent(&weak, &watch);
    let findings = wait_for("the agent's own findings", || {
        let (_, findings) = host.doctor(&watch);
        calls(&findings).contains("no calls").then_some(findings)
    });
    let rights = said(&findings, "agent");
    assert!(rights.contains("of uid 65534, without capabilities"), "{rights}");
    // What it sees of processes is what it may, and not what root may.
    let processes = said(&findings, "attribution");
    assert!(
        processes.contains("processes cannot be looked into (such as process "),
        "{processes}"
    );
    let examined = "this doctor has other rights (uid 0, with ";
    assert!(rights.contains(examined) && rights.contains("kubelet"), "{rights}");
    assert!(
        !calls(&findings).contains("calls are counted by"),
        "{}",
        calls(&findings)
    );
    if !calls(&alone).contains("calls are counted by") {
        skip("ebpf", &format!("root counts no calls here either: {}", calls(&alone)));
    }
}

#[test]
fn every_line_fits_the_terminal() {
    let host = Host::new();
    let deep = host.folder.path().join("a".repeat(80)).join("b".repeat(60));
    let more = format!("attribution.engine_directories={}", deep.display());
    let output = host.command(&[], &["doctor"], &[&more]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("bbbb"), "{text}");
    let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 100).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn a_directory_that_cannot_be_made_costs_the_socket_alone() {
    let host = Host::new();
    let file = host.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let _agent = host.agent(&[], &[&format!("status.directory={}", file.display())]);
    assert!(Path::new(&file).is_file());
}
