//! The command line as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::help;

#[derive(Debug, Parser)]
#[command(
    name = "agent",
    bin_name = "agent",
    version = help::VERSION,
    long_version = help::LONG_VERSION,
    about = help::ABOUT,
    long_about = help::LONG_ABOUT,
    after_help = help::SEE_MORE,
    after_long_help = help::EXAMPLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_help_heading = "Other commands"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) config: ConfigArguments,
    #[command(flatten)]
    pub(super) run: RunArguments,
    #[command(subcommand)]
    pub(super) command: Option<Subcommands>,
}

#[derive(Debug, Default, Args)]
pub(super) struct ConfigArguments {
    /// Read this configuration file [default: /etc/accelscope/agent.toml, if it exists]
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(super) config: Option<PathBuf>,
    /// Set one key, e.g. --set otlp.interval=5s; wins over environment and file, may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", help_heading = "Configuration")]
    pub(super) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// Print what is measured instead of pushing and serving it; disturbs no agent that runs
    #[arg(long)]
    pub(super) stdout: bool,
    /// Shape of what --stdout prints [default: table on a terminal, json in a pipe]
    #[arg(long, value_enum, value_name = "FORMAT", requires = "stdout")]
    pub(super) format: Option<Format>,
    /// Print one result of every sampler and exit: 0, or 1 when a sampler failed
    #[arg(long, requires = "stdout")]
    pub(super) once: bool,
    /// Play simulated accelerators in a private folder: no hardware needed
    #[arg(long)]
    pub(super) demo: bool,
}

impl RunArguments {
    /// The first of them that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        [(self.stdout, "--stdout"), (self.demo, "--demo")]
            .into_iter()
            .find_map(|(given, name)| given.then_some(name))
    }
}

/// What `--stdout` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people; live on a terminal
    Table,
    /// One JSON object a line and point
    Json,
    /// OTLP as JSON, one export request a line
    OtlpJson,
    /// Prometheus text
    Prometheus,
}

#[derive(Debug, Subcommand)]
pub(super) enum Subcommands {
    /// Say whether a configuration file is right, and if not every fault with its place
    CheckConfig {
        /// The file, - for standard input; the environment plays no part
        file: PathBuf,
    },
    /// Say what was found on this machine, what is missing and how to mend it
    Doctor {
        #[command(flatten)]
        config: ConfigArguments,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Play an accelerator: write what its runtime would write
    #[command(subcommand, subcommand_value_name = "WHAT", subcommand_help_heading = "What to play")]
    Simulate(SimulateCommands),
    /// Run a vendor's library on behalf of the agent, which starts this itself
    #[command(hide = true)]
    Worker {
        /// Which one
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum SimulateCommands {
    /// Write monitor files as HailoRT does for applications that run with HAILO_MONITOR=1
    Hailo(SimulateHailo),
}

/// `agent simulate hailo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SimulateHailo {
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
