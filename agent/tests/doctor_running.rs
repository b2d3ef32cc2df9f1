//! `agent doctor` beside a running agent, as an operator calls it.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::io::{Read, Write};
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
            line.is_some_and(|line| line.contains("no answer within 5s")),
            "{name}: {text}"
        );
    }
    // One after the other they would take six times as long, and the dripping one for ever.
    assert!(took.as_secs() < 25, "{took:?}");
    drop((silent, full, waiting));
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
    let pid = format!("as pid {} of uid {}", agent.0.id(), rustix::process::geteuid().as_raw());
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
    let other = format!("pid {} runs with another one", agent.0.id());
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

#[test]
fn a_destination_that_refuses_is_shown_as_the_agent_sees_it() {
    let host = Host::new();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("otlp.endpoint=http://{}", receiver.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in receiver.incoming() {
            let mut stream = stream.unwrap();
            // Not all of the request; the answer ends the connection.
            let _partial = stream.read(&mut [0; 4096]);
            stream
                .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .ok();
        }
    });
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
    let _agent = host.agent(&weak, &watch);
    let findings = wait_for("the agent's own findings", || {
        let (_, findings) = host.doctor(&watch);
        calls(&findings).contains("no calls").then_some(findings)
    });
    let rights = said(&findings, "agent");
    assert!(rights.contains("of uid 65534, without capabilities"), "{rights}");
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
