//! A source that the agent's own code does not know is configured, run, explained, shown and documented.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

use std::path::Path;
use std::process::{Command, Output};

use accelscope_core::source::Sources;
use tempfile::TempDir;
use xtask::documents;

fn sources() -> Sources {
    let mut sources = accelscope::SOURCES.to_vec();
    sources.push(&example_source::SOURCE);
    sources.leak()
}

/// A host with two NPUs, one of which has an impossible load.
fn host() -> TempDir {
    let host = tempfile::tempdir().unwrap();
    for (name, serial, load, jobs) in [("acme0", "A-1", "40", "7"), ("acme1", "A-2", "400", "9")] {
        let device = host.path().join("sys/class/acme").join(name);
        std::fs::create_dir_all(&device).unwrap();
        for (attribute, value) in [("serial", serial), ("load", load), ("jobs", jobs)] {
            std::fs::write(device.join(attribute), format!("{value}\n")).unwrap();
        }
    }
    std::fs::create_dir_all(host.path().join("proc/1")).unwrap();
    std::fs::write(host.path().join("proc/stat"), "btime 1700000000\n").unwrap();
    host
}

fn agent(host: &Path, arguments: &[&str]) -> Output {
    let root = format!("host.root={}", host.display());
    Command::new(env!("CARGO_BIN_EXE_example-agent"))
        .args(["--set", &root])
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn its_readings_come_through_its_worker_and_an_impossible_value_is_absent() {
    let host = host();
    let text = stdout(&agent(host.path(), &["--stdout", "--once", "--format", "prometheus"]));
    let line = |name: &str, id: &str| {
        let mut lines = text.lines();
        let found = lines.find(|line| line.starts_with(name) && line.contains(&format!("hw_id=\"{id}\"")));
        found.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    assert_eq!(
        line("hw_npu_utilization_ratio", "A-1").as_deref(),
        Some("0.4"),
        "{text}"
    );
    assert_eq!(line("hw_npu_utilization_ratio", "A-2"), None, "{text}");
    assert_eq!(line("acme_jobs_total", "A-2").as_deref(), Some("9"), "{text}");
    assert!(text.contains("acme_serial=\"A-1\""), "{text}");
}

#[test]
fn its_settings_decide_and_a_misspelt_one_is_recognised() {
    let host = host();
    let arguments = ["--set", "acme.jobs=false", "--stdout", "--once", "--format", "json"];
    let text = stdout(&agent(host.path(), &arguments));
    assert!(
        text.contains("acme.device.info") && !text.contains("acme.jobs"),
        "{text}"
    );
    let refused = agent(host.path(), &["--set", "acme.job=false", "--stdout", "--once"]);
    assert_eq!(refused.status.code(), Some(64));
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains("did you mean acme.jobs?"), "{error}");
    let range = agent(host.path(), &["--set", "acme.period=1ms", "--stdout", "--once"]);
    assert!(String::from_utf8_lossy(&range.stderr).contains("acme.period: 1ms is out of range"));
}

#[test]
fn the_table_and_the_doctor_show_it() {
    let host = host();
    let table = stdout(&agent(host.path(), &["--stdout", "--once", "--format", "table"]));
    let row = |name: &str| {
        let line = table.lines().find(|line| line.trim_start().starts_with(name));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    assert!(table.contains("\nACME\n"), "{table}");
    assert_eq!(row("acme0").as_deref(), Some("acme0 40.0 % 7"), "{table}");
    assert_eq!(row("acme1").as_deref(), Some("acme1 - 9"), "{table}");
    let doctor = stdout(&agent(host.path(), &["doctor"]));
    assert!(doctor.contains("ok    acme: 2 Acme NPU(s)"), "{doctor}");
    let empty = tempfile::tempdir().unwrap();
    let doctor = stdout(&agent(empty.path(), &["doctor"]));
    assert!(doctor.contains("-     acme: no Acme NPU"), "{doctor}");
}

#[test]
fn its_worker_is_started_by_its_name_and_by_nobody_else() {
    let host = host();
    let output = agent(host.path(), &["worker", "acme"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this command is for the agent itself"));
}

#[test]
fn the_documents_follow_from_the_list() {
    let sources = sources();
    let metrics = documents::metrics_md(sources);
    assert!(
        metrics.contains("| `acme.jobs` | `acme_jobs_total` | counter |"),
        "{metrics}"
    );
    assert!(metrics.contains("| `acme.serial` | Serial number"), "{metrics}");
    assert!(documents::snapshot(sources).contains("acme.device.info [] gauge"));
    let example = documents::example_toml(sources);
    assert!(example.contains("# NPUs of Acme.\n[acme]\n"), "{example}");
    assert!(example.contains("#jobs = true\n"), "{example}");
    assert!(documents::configuration_md(sources).contains("## `[acme]`"));
}

#[test]
fn an_allocation_names_its_device() {
    let known = example_source::SOURCE.allocated_device.unwrap();
    assert_eq!(known("acme.com/npu", "acme1"), [("hw.name", "acme1".into())]);
    assert_eq!(known("example.com/npu", "acme1"), []);
}
