use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use super::args::Arguments;
use super::{Command, ConfigSource, EXIT_OK, EXIT_USAGE, Format, Run, check_config, exit_code, parse};
use crate::SOURCES;
use crate::config::{ConfigFile, DEFAULT_FILE, Environment};
use crate::simulate::{self, Hailo, WriteMode};

fn command(line: &str) -> Command {
    parse(std::iter::once("agent").chain(line.split_whitespace())).unwrap_or_else(|stop| panic!("{line}: {stop}"))
}

fn stop(line: &str) -> (u8, String) {
    let stop = parse(std::iter::once("agent").chain(line.split_whitespace())).expect_err(line);
    (exit_code(&stop), stop.to_string())
}

#[test]
fn clap_finds_no_fault_in_the_definition() {
    Arguments::command().debug_assert();
}

#[test]
fn no_arguments_run_the_agent_with_the_usual_file() {
    let Command::Run(run) = command("") else {
        panic!("not the main job")
    };
    assert_eq!(
        run,
        Run {
            config: ConfigSource::default(),
            stdout: false,
            format: None,
            once: false,
            demo: false
        }
    );
    let file = run.config.inputs(Environment::default()).file;
    assert_eq!(file, ConfigFile::IfPresent(DEFAULT_FILE.into()));
}

#[test]
fn the_flags_of_the_main_job() {
    let Command::Run(run) = command("--config /c --set a.b=1 --set c.d=e,f --stdout --format otlp-json --once --demo")
    else {
        panic!("not the main job")
    };
    assert_eq!(
        run.config,
        ConfigSource {
            file: Some("/c".into()),
            sets: vec!["a.b=1".into(), "c.d=e,f".into()]
        }
    );
    assert_eq!((run.stdout, run.format, run.once), (true, Some(Format::OtlpJson), true));
    assert!(run.demo);
    assert_eq!(
        run.config.inputs(Environment::default()).file,
        ConfigFile::Required("/c".into())
    );
    for (word, format) in [
        ("table", Format::Table),
        ("json", Format::Json),
        ("prometheus", Format::Prometheus),
    ] {
        let Command::Run(run) = command(&format!("--stdout --format={word}")) else {
            panic!("not the main job")
        };
        assert_eq!((run.stdout, run.format), (true, Some(format)));
    }
    let Command::Run(demo) = command("--demo") else {
        panic!("not the main job")
    };
    assert!(demo.demo && !demo.stdout);
}

#[test]
fn configuration_may_stand_before_or_after_doctor() {
    let expected = ConfigSource {
        file: Some("/c".into()),
        sets: vec!["a.b=1".into(), "a.b=2".into()],
    };
    for line in [
        "--config /c --set a.b=1 doctor --set a.b=2 --json",
        "--set a.b=1 doctor --json --config /c --set a.b=2",
    ] {
        assert_eq!(
            command(line),
            Command::Doctor {
                config: expected.clone(),
                json: true
            }
        );
    }
}

#[test]
fn the_other_commands() {
    assert_eq!(command("check-config /c"), Command::CheckConfig { file: "/c".into() });
    assert_eq!(command("worker nvml"), Command::Worker { name: "nvml".into() });
    let line = "simulate hailo --dir /d --processes 2 --networks 3 --streams 4 --interval 200ms --write-mode rename --kill-some";
    assert_eq!(
        command(line),
        Command::Simulate(simulate::Command::Hailo(Hailo {
            dir: PathBuf::from("/d"),
            processes: 2,
            networks: 3,
            streams: 4,
            interval: Duration::from_millis(200),
            write_mode: WriteMode::Rename,
            kill_some: true,
        }))
    );
    let Command::Simulate(simulate::Command::Hailo(defaults)) = command("simulate hailo --dir /d") else {
        panic!("not the simulator")
    };
    assert_eq!(
        (defaults.interval.as_secs(), defaults.write_mode),
        (1, WriteMode::InPlace)
    );
}

#[test]
fn bad_usage_is_64_and_says_what_is_wrong() {
    for (line, part) in [
        ("--fromat json", "--fromat"),
        ("--format json", "--stdout"),
        ("--once", "--stdout"),
        ("--stdout --format yaml", "otlp-json"),
        ("frobnicate", "frobnicate"),
        ("check-config", "FILE"),
        ("--config", "FILE"),
        ("--config /a doctor --config /b", "twice"),
        ("--stdout doctor", "--stdout belongs"),
        ("--set a.b=c check-config /c", "neither --config nor --set"),
        ("simulate", "hailo"),
        ("simulate hailo", "--dir"),
        ("simulate hailo --dir /d --interval 0s", "write a number with its unit"),
        ("simulate hailo --dir /d --processes 0", "1..=10000"),
    ] {
        let (code, text) = stop(line);
        assert_eq!(code, EXIT_USAGE, "{line}");
        assert!(text.contains(part), "{line}: {text}");
    }
}

#[test]
fn help_explains_itself_and_is_no_failure() {
    let (code, text) = stop("--help");
    assert_eq!(code, EXIT_OK);
    for part in [
        "agent --stdout --demo",
        "Exit codes:",
        "64",
        "ACCELSCOPE__SECTION__KEY",
        "/etc/accelscope/agent.toml",
        "agent.example.toml",
        "doctor",
        "check-config",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("worker"), "it is the agent's own");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(stop("doctor --help").0, EXIT_OK);
}

#[test]
fn the_version_tells_what_the_build_is_made_of() {
    let (code, text) = stop("--version");
    assert_eq!(code, EXIT_OK);
    assert!(
        text.starts_with(&format!("agent {}", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    assert!(text.contains("rustc 1.") && text.contains("revision:"), "{text}");
    assert_eq!(stop("-V").1.lines().count(), 1);
}

#[test]
fn check_config_says_ok_or_everything_that_is_wrong() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("agent.toml");
    std::fs::write(&path, "hailo.dir = '/x'").expect("a file");
    assert_eq!(
        check_config(&path, SOURCES),
        (format!("{}: ok\n", path.display()), EXIT_OK)
    );
    std::fs::write(&path, "hailo.dirr = '/x'\nlimits.series = 0").expect("a file");
    let (text, code) = check_config(&path, SOURCES);
    assert_eq!((text.lines().count(), code), (2, EXIT_USAGE), "{text}");
}
