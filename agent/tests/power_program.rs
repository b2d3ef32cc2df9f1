//! The program on hosts with and without energy counters and sensors.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn agent(host: &Path, arguments: &[&str]) -> Output {
    let root = format!("host.root={}", host.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    // The other sources would look for what is not theirs to be tested here.
    for source in ["hailo", "ascend", "nvidia", "ioctl", "kubelet"] {
        command.args(["--set", &format!("{source}.enabled=false")]);
    }
    command.args(["--set", &root]).args(arguments);
    command.env_clear().stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir_all(host.path().join("proc/1")).unwrap();
    fs::write(host.path().join("proc/stat"), "btime 1700000000\n").unwrap();
    for (path, text) in files {
        let path = host.path().join("sys/class").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
    host
}

#[test]
fn one_look_shows_counters_and_sensors_and_the_doctor_names_them() {
    let host = host(&[
        ("powercap/intel-rapl:0/name", "package-0"),
        ("powercap/intel-rapl:0/energy_uj", "5000000"),
        ("powercap/intel-rapl:0/max_energy_range_uj", "262143328850"),
        ("hwmon/hwmon0/name", "nct6775"),
        ("hwmon/hwmon0/fan1_input", "1200"),
        ("hwmon/hwmon0/power1_average", "4294967295000"),
        ("thermal/thermal_zone0/type", "acpitz"),
        ("thermal/thermal_zone0/temp", "27800"),
    ]);
    let output = agent(host.path(), &["--stdout", "--once", "--format", "prometheus"]);
    let shown = text(&output.stdout);
    let value = |name: &str, of: &str| {
        let mut lines = shown.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name}{{")) && line.contains(of))?;
        line.rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(
        value("hw_energy_joules_total", "hw_name=\"package-0\"").as_deref(),
        Some("0"),
        "{shown}"
    );
    assert_eq!(
        value("hw_fan_speed_rpm", "nct6775/fan1").as_deref(),
        Some("1200"),
        "{shown}"
    );
    assert_eq!(
        value("hw_temperature_celsius", "acpitz").as_deref(),
        Some("27.8"),
        "{shown}"
    );
    assert_eq!(value("hw_power_watts", ""), None, "{shown}");
    let skipped = |reason: &str| value("agent_sampler_skipped_total", &format!("agent_reason=\"{reason}\""));
    assert_eq!(
        (skipped("sentinel").as_deref(), skipped("frozen").as_deref()),
        (Some("1"), Some("0")),
        "{shown}"
    );

    let doctor = text(&agent(host.path(), &["doctor"]).stdout);
    let doctor = doctor.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = "ok power: RAPL (package-0), 1 hwmon chip(s), 1 thermal zone(s)";
    assert!(doctor.contains(found), "{doctor}");
    let table = text(&agent(host.path(), &["--stdout", "--once", "--format", "table"]).stdout);
    assert!(table.contains("\nPOWER\n") && table.contains("package-0"), "{table}");
}

#[test]
fn without_any_of_this_there_is_one_line_of_the_doctor_and_nothing_else() {
    let host = host(&[]);
    let output = agent(host.path(), &["--stdout", "--once", "--format", "json"]);
    let (shown, log) = (text(&output.stdout), text(&output.stderr));
    assert!(!shown.contains("\"hw."), "{shown}");
    let of_power = |line: &&str| line.contains("\"power\"") && line.contains("agent.sampler.skipped");
    assert_eq!(shown.lines().find(of_power), None);
    assert!(!log.contains("power"), "{log}");
    let doctor = text(&agent(host.path(), &["doctor"]).stdout);
    let lines = doctor.lines().filter(|line| line.contains(" power: "));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{doctor}");
    assert!(lines[0].trim_start().starts_with("-  "), "{doctor}");
}
