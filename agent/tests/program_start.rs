//! What a starting agent says, and what marks a demonstration.
#![cfg(feature = "hailo")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod receiver_support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use program_support::{Running, get, wait_for};
use receiver_support::Receiver;

fn agent(arguments: &[&str], settings: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    let others = ["nvidia", "ascend", "ioctl"].map(|source| format!("{source}.enabled=false"));
    for setting in others.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command
}

/// A running agent, and the lines of its log.
fn logged(mut command: Command) -> (Running, Arc<Mutex<String>>) {
    let mut running = Running::start({
        command.stderr(Stdio::piped());
        command
    });
    let (log, lines) = (Arc::<Mutex<String>>::default(), running.0.stderr.take().unwrap());
    let written = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(lines).lines().map_while(Result::ok) {
            *written.lock().unwrap() += &(line + "\n");
        }
    });
    (running, log)
}

fn wait_for_line(log: &Mutex<String>, parts: &[&str]) {
    wait_for(&format!("a line with {parts:?}"), || {
        let log = log.lock().unwrap();
        log.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
            .then_some(())
    });
}

/// An empty host, where there is nothing to measure.
fn nowhere(host: &Path) -> Vec<String> {
    vec![
        format!("host.root={}", host.display()),
        format!("hailo.dir={}", host.join("hmon").display()),
        "http.enabled=false".to_owned(),
        "otlp.endpoint=http://127.0.0.1:9".to_owned(),
    ]
}

#[test]
fn the_log_begins_with_version_configuration_and_what_was_found() {
    let host = tempfile::tempdir().unwrap();
    let file = host.path().join("agent.toml");
    std::fs::write(&file, "[otlp]\ninterval = \"7s\"\n").unwrap();
    let settings = nowhere(host.path());
    let (_running, log) = logged(agent(&["--config", file.to_str().unwrap()], &settings));
    wait_for_line(&log, &["accelscope agent", env!("CARGO_PKG_VERSION"), "revision="]);
    wait_for_line(&log, &["configuration", file.to_str().unwrap()]);
    wait_for_line(&log, &["pushing", "http://127.0.0.1:9", "7s"]);
    wait_for_line(&log, &["hailo: nothing found", "no Hailo device"]);
    wait_for_line(
        &log,
        &["kubelet: nothing found", "/var/lib/kubelet/pod-resources/kubelet.sock"],
    );
    let log = log.lock().unwrap().clone();
    assert!(log.lines().next().unwrap().contains("accelscope agent"), "{log}");
}

#[test]
fn the_log_says_where_a_configuration_would_be_and_how_many_devices_there_are() {
    let host = tempfile::tempdir().unwrap();
    let mut settings = nowhere(host.path());
    settings.push("log.format=json".to_owned());
    let (_running, log) = logged(agent(&[], &settings));
    wait_for_line(&log, &["no configuration file", "/etc/accelscope/agent.toml"]);
    let (_demo, log) = logged(agent(&["--demo"], &["http.enabled=false".to_owned()]));
    wait_for_line(&log, &["--demo", "made up"]);
    wait_for_line(&log, &["hailo: "]);
}

/// The simulator writes its first files a second after its start.
#[test]
fn a_demonstration_is_found_from_its_start() {
    let (_demo, log) = logged(agent(&["--demo"], &["http.enabled=false".to_owned()]));
    wait_for_line(&log, &["hailo: "]);
    let log = log.lock().unwrap().clone();
    assert!(!log.contains("hailo: nothing found"), "{log}");
    assert!(log.contains("hailo: found devices=2"), "{log}");
}

/// The instance id of the resource, and whether it is marked.
fn pushed(arguments: &[&str]) -> (String, Option<String>) {
    let receiver = Receiver::start();
    let mut settings = receiver.settings();
    settings.push("http.enabled=false".to_owned());
    let _running = Running::start(agent(arguments, &settings));
    let point = wait_for("a point", || receiver.points().into_iter().next());
    let attribute = |key: &str| point.resource.get(key).cloned();
    (attribute("service.instance.id").unwrap(), attribute("accelscope.demo"))
}

#[test]
fn a_demonstration_is_another_instance_and_marked_wherever_it_goes() {
    let (real, mark) = pushed(&[]);
    assert_eq!(mark, None);
    let (demo, mark) = pushed(&["--demo"]);
    assert_eq!(mark.as_deref(), Some("true"));
    assert_ne!(demo, real);
    assert_eq!(pushed(&["--demo"]).0, demo, "it stays the same");

    let address = free_port::free_address();
    let settings = ["otlp.enabled=false".to_owned(), format!("http.listen={address}")];
    let _running = Running::start(agent(&["--demo"], &settings));
    let page = wait_for("made-up devices", || {
        let page = get(address, "/metrics")?.body;
        page.contains("\nhailo_network_frame_rate").then_some(page)
    });
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    for line in samples {
        assert!(line.contains("accelscope_demo=\"true\""), "{line}");
    }
    assert!(page.contains(&format!("service_instance_id=\"{demo}\"")), "{page}");
}
