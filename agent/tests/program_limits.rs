//! The program with less than is usual: of stack, of files, of rights.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use free_port::free_address;
use program_support::{Logged, get, wait_for};
use serde_json::Value;
use skip_test::skip;

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// A host with the processes and devices of this one and a directory for the agent's socket.
struct Host {
    folder: tempfile::TempDir,
    listen: SocketAddr,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("run")).unwrap();
        Self {
            folder,
            listen: free_address(),
        }
    }

    /// The agent with these arguments, started by a shell after these commands.
    fn after(&self, limits: &str, arguments: &str) -> Command {
        let folder = self.folder.path();
        let mut line = format!("{limits} && exec {AGENT} {arguments}");
        for setting in [
            format!("http.listen={}", self.listen),
            format!("status.directory={}/run", folder.display()),
            format!("hailo.dir={}/hmon", folder.display()),
            "ioctl.extra_devices=/dev/full=other".to_owned(),
            "otlp.enabled=false".to_owned(),
        ] {
            write!(line, " --set {setting}").unwrap();
        }
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).stdin(Stdio::null());
        command.args(["-c", &line]);
        command
    }

    fn output(&self, limits: &str, arguments: &str) -> Output {
        self.after(limits, arguments).output().unwrap()
    }

    fn is_ready(&self) -> bool {
        get(self.listen, "/readyz").is_some_and(|answer| answer.status == 200)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What the doctor found about a subject; nothing where it did not get that far.
fn found(output: &Output, about: &str) -> Vec<(String, String)> {
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let of = all.iter().filter(|finding| finding["about"] == about);
    let part = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    of.map(|finding| (part(finding, "what"), part(finding, "remedy")))
        .collect()
}

#[test]
fn a_small_stack_is_enough() {
    let host = Host::new();
    let file = host.folder.path().join("agent.toml");
    std::fs::write(&file, "[otlp]\nenabled = false\n").unwrap();
    for kib in [32, 64, 256] {
        let limits = format!("ulimit -s {kib}");
        let checked = Command::new("sh")
            .args([
                "-c",
                &format!("{limits} && exec {AGENT} check-config {}", file.display()),
            ])
            .output()
            .unwrap();
        assert_eq!(checked.status.code(), Some(0), "{kib} KiB: {checked:?}");
        let doctor = host.output(&limits, "doctor");
        assert!(doctor.status.code().is_some(), "{kib} KiB: {doctor:?}");
        assert!(text(&doctor.stdout).contains("http.listen"), "{kib} KiB: {doctor:?}");
        let mut agent = Logged::start(host.after(&limits, ""));
        wait_for("the agent to be ready", || host.is_ready().then_some(()));
        agent.running.terminate();
        assert_eq!(agent.running.exit_code(), Some(0), "{kib} KiB: {}", agent.log());
    }
}

/// Whether each line with such an error has what helps.
#[track_caller]
fn assert_remedies(files: u32, log: &str) {
    for line in log.lines().filter(|line| line.contains("(os error 24)")) {
        assert!(line.contains("LimitNOFILE="), "{files} files: {line}");
    }
    assert!(
        !log.contains("a fault of the agent") && !log.contains("panicked"),
        "{files} files: {log}"
    );
}

#[test]
fn too_few_files_are_named_with_what_helps_wherever_they_run_out() {
    let host = Host::new();
    let mut ended = 0;
    let formats = ["text", "json"].iter().cycle();
    for (files, format) in [6, 8, 10, 12, 16, 17, 20, 21, 24, 28, 32, 40].into_iter().zip(formats) {
        let limits = format!("ulimit -n {files}");
        let mut agent = Logged::start(host.after(&limits, &format!("--set log.format={format}")));
        let end = wait_for("its end, or the first readings", || {
            let end = agent.running.0.try_wait().unwrap();
            let has_read = || agent.log().contains("nothing found").then_some(None);
            end.map(Some).or_else(has_read)
        });
        if let Some(end) = end {
            ended += 1;
            let log = agent.last_words();
            assert_eq!(end.code(), Some(1), "{files} files: {log}");
            assert!(log.contains("LimitNOFILE="), "{files} files: {log}");
        }
        assert_remedies(files, &agent.log());
        let doctor = host.output(&limits, "doctor --json");
        assert_remedies(files, &text(&doctor.stderr));
        let findings: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap_or_default();
        for finding in findings
            .iter()
            .filter(|finding| finding.to_string().contains("(os error 24)"))
        {
            let remedy = finding["remedy"].as_str().unwrap_or_default();
            assert!(remedy.contains("LimitNOFILE="), "{files} files: {finding}");
        }
    }
    assert!(ended > 0, "the least of them are too few");
}

#[cfg(feature = "ioctl")]
#[test]
fn too_few_files_for_ebpf_are_no_missing_feature_of_the_kernel() {
    let host = Host::new();
    let all = found(&host.output("true", "doctor --json"), "ioctl");
    if !all.iter().any(|(what, _)| what.contains("calls are counted by")) {
        return skip("ebpf", &format!("no calls are counted here: {all:?}"));
    }
    let mut refused = 0;
    for files in (12..48).step_by(6) {
        let output = host.output(&format!("ulimit -n {files}"), "doctor --json");
        for (what, remedy) in found(&output, "ioctl") {
            if what.contains("(os error 24)") {
                refused += 1;
                assert!(remedy.contains("LimitNOFILE="), "{files} files: {what} -> {remedy}");
                let is_kernels = [
                    "does not have such maps",
                    "does not take it",
                    "does not describe its types",
                ];
                for wrong in is_kernels {
                    assert!(!what.contains(wrong), "{files} files: {what}");
                }
            }
        }
    }
    assert!(refused > 0, "some of them are too few for the maps or programs");
}

#[test]
fn root_of_a_user_namespace_is_no_root() {
    let host = Host::new();
    let unshared = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    let is_possible = Command::new("unshare").args(unshared).arg("true").status();
    if !is_possible.is_ok_and(|status| status.success()) {
        return skip("user namespaces", "they may not be made here");
    }
    let mut doctor = Command::new("unshare");
    let inner = host.after("true", "doctor --json");
    doctor.args(unshared).arg("sh").args(inner.get_args());
    let path = std::env::var("PATH").unwrap_or_default();
    doctor.env_clear().env("PATH", path).stdin(Stdio::null());
    let output = doctor.output().unwrap();
    let initial = "initial user namespace";
    #[cfg(feature = "ioctl")]
    {
        let all = found(&output, "ioctl");
        let calls = all.iter().find(|(what, _)| what.contains("no calls"));
        let (what, remedy) = calls.unwrap_or_else(|| panic!("{all:?}"));
        assert!(
            what.contains("in a user namespace of its own") && !what.contains("security module"),
            "{what}"
        );
        assert!(remedy.contains(initial), "{remedy}");
    }
    let all = found(&output, "attribution");
    let closed = all.iter().find(|(what, _)| what.contains("cannot be looked into"));
    let (what, remedy) = closed.unwrap_or_else(|| panic!("{all:?}"));
    assert!(remedy.contains(initial), "{what} -> {remedy}");
}
