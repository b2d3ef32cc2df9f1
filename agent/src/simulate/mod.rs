//! `agent simulate` and `agent --demo`: simulated accelerators.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use accelscope_simulate::{Demo, Options, SimulateError};
use clap::{Args, Subcommand, ValueEnum};

pub use accelscope_simulate::{WRITER_ARGS, writer_main};

/// How long `--demo` waits for the simulator's first files, which appear after a second.
const FIRST_FILES: Duration = Duration::from_secs(10);

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Write monitor files as HailoRT does for applications that run with HAILO_MONITOR=1
    Hailo(Hailo),
}

impl Command {
    /// Simulates until a signal ends it.
    pub fn run(self) -> Result<(), SimulateError> {
        let Self::Hailo(hailo) = self;
        accelscope_simulate::run(Options {
            dir: hailo.dir,
            processes: hailo.processes,
            networks: hailo.networks,
            streams: hailo.streams,
            interval: hailo.interval,
            write_mode: match hailo.write_mode {
                WriteMode::InPlace => accelscope_simulate::WriteMode::InPlace,
                WriteMode::Rename => accelscope_simulate::WriteMode::Rename,
            },
            kill_some: hailo.kill_some,
            ..Options::default()
        })
    }
}

/// The settings with which the agent measures the demonstration, as values of `--set`.
pub fn demo_settings(demo: &Demo) -> Vec<String> {
    let dir = std::fs::canonicalize(demo.dir()).unwrap_or_else(|_| demo.dir().to_owned());
    vec![
        format!("hailo.dir={}", dir.display()),
        "hailo.discover=false".to_owned(),
        "host.root=/".to_owned(),
    ]
}

/// Waits until the demonstration's first files are there, ten seconds at most.
pub fn wait_for_files(demo: &Demo) {
    let until = Instant::now() + FIRST_FILES;
    while !demo.has_written() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `agent simulate hailo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Hailo {
    /// Directory to write to; it is created
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Writing processes, each with its own file
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub processes: u32,
    /// Networks of each process
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub networks: u32,
    /// Streams of each network
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub streams: u32,
    /// Time between two writes of a file, e.g. 1s or 200ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// How a file is written
    #[arg(long, value_enum, value_name = "HOW", default_value = "in-place")]
    pub write_mode: WriteMode,
    /// Kill a writer now and then, so that its file stays behind
    #[arg(long)]
    pub kill_some: bool,
}

/// How the simulator writes its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WriteMode {
    /// Truncate the file and write it again
    InPlace,
    /// Write beside it and rename over it
    Rename,
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => Err("write a number with its unit, such as 1s or 200ms".to_owned()),
    }
}
