//! The command line as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::help;
use crate::config::{ConfigFile, DEFAULT_FILE, Environment, Inputs};
use crate::simulate;

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
    pub(super) run: Run,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Options of the main job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Run {
    /// Files and options of the configuration.
    #[command(flatten)]
    pub config: ConfigSource,
    /// Print what is measured instead of pushing and serving it; disturbs no agent that runs
    #[arg(long)]
    pub stdout: bool,
    /// Shape of what --stdout prints [default: table on a terminal, json in a pipe]
    #[arg(long, value_enum, value_name = "FORMAT", requires = "stdout")]
    pub format: Option<Format>,
    /// Print one result of every sampler and exit: 0, or 1 when a sampler failed
    #[arg(long, requires = "stdout")]
    pub once: bool,
    /// Play simulated accelerators in a private folder: no hardware needed
    #[arg(long)]
    pub demo: bool,
}

/// `--config` and `--set`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ConfigSource {
    /// Read this configuration file [default: /etc/accelscope/agent.toml, if it exists]
    #[arg(long = "config", value_name = "FILE", help_heading = "Configuration")]
    pub file: Option<PathBuf>,
    /// Set one key, e.g. --set otlp.interval=5s; wins over environment and file, may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", help_heading = "Configuration")]
    pub sets: Vec<String>,
}

impl ConfigSource {
    /// Inputs of [`load`](crate::config::load): these options and the environment.
    pub fn inputs(&self, env: Environment) -> Inputs {
        let file = self
            .file
            .clone()
            .map_or_else(|| ConfigFile::IfPresent(DEFAULT_FILE.into()), ConfigFile::Required);
        Inputs {
            file,
            env,
            sets: self.sets.clone(),
        }
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

/// A parsed command.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Measure; push and serve, or print.
    #[command(skip)]
    Run(Run),
    /// Say whether a configuration file is right, and if not every fault with its place
    CheckConfig {
        /// The file, - for standard input; the environment plays no part
        file: PathBuf,
    },
    /// Say what was found on this machine, what is missing and how to mend it
    Doctor {
        /// Files and options of the configuration.
        #[command(flatten)]
        config: ConfigSource,
        /// Print JSON for programs
        #[arg(long)]
        json: bool,
    },
    /// Play an accelerator: write what its runtime would write
    #[command(subcommand, subcommand_value_name = "WHAT", subcommand_help_heading = "What to play")]
    Simulate(simulate::Command),
    /// Run a vendor's library on behalf of the agent, which starts this itself
    #[command(hide = true)]
    Worker {
        /// Which one
        name: String,
    },
}
