//! The command line.

mod args;
mod help;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use args::Format;
pub use help::{BUILD, TARGET};

use crate::config::{Config, ConfigFile, DEFAULT_FILE, Environment, Inputs};
use crate::simulate;
use accelscope_core::source::Sources;
use args::{Arguments, ConfigArguments, Subcommands};

/// Exit code: success.
pub const EXIT_OK: u8 = 0;
/// Exit code: failure.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: wrong usage or configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// A parsed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Measure; push and serve, or print.
    Run(Run),
    /// `check-config FILE`
    CheckConfig {
        /// Path of the file.
        file: PathBuf,
    },
    /// `doctor`
    Doctor {
        /// Files and options of the configuration.
        config: ConfigSource,
        /// Print JSON instead of text for people.
        json: bool,
    },
    /// `simulate WHAT`
    Simulate(simulate::Command),
    /// `worker NAME`
    Worker {
        /// Name of the worker.
        name: String,
    },
}

/// Options of the main job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Files and options of the configuration.
    pub config: ConfigSource,
    /// Print instead of pushing and serving.
    pub stdout: Option<Stdout>,
    /// Measure simulated accelerators.
    pub demo: bool,
}

/// `--stdout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stdout {
    /// Output format; if absent, it depends on whether the output is a terminal.
    pub format: Option<Format>,
    /// Print one result of every sampler, then exit.
    pub once: bool,
}

/// `--config` and `--set`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigSource {
    /// File given by `--config`.
    pub file: Option<PathBuf>,
    /// Values of `--set`, in their order.
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

/// Request for help or the version, or an invalid command line.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Stop(#[from] clap::Error);

impl Stop {
    /// Exit code of the program.
    pub fn exit_code(&self) -> u8 {
        if self.0.use_stderr() { EXIT_USAGE } else { EXIT_OK }
    }

    /// Prints help and version to stdout, errors to stderr.
    pub fn print(&self) -> std::io::Result<()> {
        self.0.print()
    }
}

/// Parses the command line, with the program's name as its first word.
pub fn parse(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Command, Stop> {
    let Arguments { config, run, command } = Arguments::try_parse_from(args)?;
    let Some(command) = command else {
        return Ok(Command::Run(Run {
            config: merge(config, ConfigArguments::default())?,
            stdout: run.stdout.then_some(Stdout {
                format: run.format,
                once: run.once,
            }),
            demo: run.demo,
        }));
    };
    if let Some(flag) = run.given() {
        return Err(conflict(&format!(
            "{flag} belongs to the agent itself and not to one of its other commands"
        )));
    }
    let configured = config.config.is_some() || !config.set.is_empty();
    if configured && !matches!(command, Subcommands::Doctor { .. } | Subcommands::Worker { .. }) {
        return Err(conflict("this command takes neither --config nor --set"));
    }
    Ok(match command {
        Subcommands::CheckConfig { file } => Command::CheckConfig { file },
        Subcommands::Doctor { config: own, json } => Command::Doctor {
            config: merge(config, own)?,
            json,
        },
        Subcommands::Simulate(command) => Command::Simulate(command),
        Subcommands::Worker { name } => Command::Worker { name },
    })
}

/// `agent check-config`: its output and its exit code.
pub fn check_config(file: &Path, sources: Sources) -> (String, u8) {
    match Config::check_file(file, sources) {
        Ok(loaded) => {
            let mut text = String::new();
            for warning in &loaded.warnings {
                text.push_str("warning: ");
                text.push_str(warning);
                text.push('\n');
            }
            (format!("{text}{}: ok\n", file.display()), EXIT_OK)
        }
        Err(errors) => (format!("{errors}\n"), EXIT_USAGE),
    }
}

/// `--config` and `--set` may stand before or after the command.
fn merge(before: ConfigArguments, after: ConfigArguments) -> Result<ConfigSource, Stop> {
    if before.config.is_some() && after.config.is_some() {
        return Err(conflict("--config was given twice"));
    }
    Ok(ConfigSource {
        file: before.config.or(after.config),
        sets: before.set.into_iter().chain(after.set).collect(),
    })
}

fn conflict(problem: &str) -> Stop {
    Stop(Arguments::command().error(ErrorKind::ArgumentConflict, problem))
}
