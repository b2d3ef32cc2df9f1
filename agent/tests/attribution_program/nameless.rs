//! What the log says of containers without a name.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::{Machine, new_id};

const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn about_names(errors: &str) -> Vec<&str> {
    let is_one = |line: &&str| line.contains("WARN") && line.contains("name");
    errors.lines().filter(is_one).collect()
}

/// The lines of it as they come.
fn lines(of: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    let mut all = BufReader::new(of).lines().map_while(Result::ok);
    std::thread::spawn(move || all.try_for_each(|line| send.send(line)));
    lines
}

#[test]
fn many_containers_without_a_name_are_one_line_that_fits_a_plain_host() {
    let Some(mut machine) = Machine::new() else { return };
    machine.write("/etc/docker/daemon.json", r#"{"data-root":"/opt/d"}"#);
    machine.write("/opt/d/engine-id", "");
    for _ in 0..25 {
        machine.holder(&format!("docker/{}", new_id()));
    }
    let (_, errors) = machine.holders("");
    let [line] = about_names(&errors)[..] else {
        panic!("one line for all: {errors}")
    };
    assert!(line.contains("containers=25"), "{line}");
    assert!(line.contains("/opt/d"), "it says where it looked: {line}");
    assert!(line.contains("attribution.engine_directories"), "{line}");
    assert!(!line.contains("pod") && !line.contains("mount"), "{line}");
}

#[test]
fn in_a_pod_the_mount_is_named() {
    let Some(mut machine) = Machine::new() else { return };
    machine.holder(&format!("docker/{}", new_id()));
    let mut agent: Command = machine.agent("--stdout --format json --once");
    let output = agent.env("KUBERNETES_SERVICE_HOST", "10.0.0.1").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let [line] = about_names(&errors)[..] else {
        panic!("one line: {errors}")
    };
    assert!(
        line.contains("/run/containerd") && line.contains("read-only under host.root"),
        "{line}"
    );
}

#[test]
fn those_that_come_later_are_not_a_line_each() {
    let Some(mut machine) = Machine::new() else { return };
    for _ in 0..3 {
        machine.holder(&format!("docker/{}", new_id()));
    }
    let mut agent = machine.agent("--stdout --format json");
    let mut agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (errors, output) = (lines(agent.stderr.take().unwrap()), lines(agent.stdout.take().unwrap()));
    let until = Instant::now() + PATIENCE;
    let mut log = Vec::new();
    while !log.iter().any(|line: &String| line.contains("containers=3")) {
        let left = until.saturating_duration_since(Instant::now());
        log.push(
            errors
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("no line about three: {log:#?}")),
        );
    }
    let later = [(); 5].map(|()| new_id());
    for id in &later {
        machine.holder(&format!("docker/{id}"));
    }
    // All of them are shown, without a name.
    let mut missing: Vec<&String> = later.iter().collect();
    let until = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        let line = output
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("never shown: {missing:?}"));
        missing.retain(|id| !line.contains(id.as_str()));
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
    log.extend(errors.try_iter());
    let text = log.join("\n");
    assert_eq!(about_names(&text).len(), 1, "{text}");
}
