//! The command line.

mod args;
mod help;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

pub use args::{Command, ConfigSource, Format, Run};
pub use help::BUILD;

use crate::config::Config;
use accelscope_core::printable::printable;
use accelscope_core::source::Sources;
use args::Arguments;

/// Exit code: success.
pub const EXIT_OK: u8 = 0;
/// Exit code: failure.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: wrong usage or configuration (`EX_USAGE` of sysexits.h).
pub const EXIT_USAGE: u8 = 64;

/// Parses the command line, with the program's name as its first word. The error is also what prints help and version.
pub fn parse(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Command, clap::Error> {
    let Arguments { run, command } = Arguments::try_parse_from(args)?;
    let Some(mut command) = command else {
        return Ok(Command::Run(run));
    };
    for (given, flag) in [(run.stdout, "--stdout"), (run.demo, "--demo")] {
        if given {
            return Err(conflict(&format!(
                "{flag} belongs to the agent itself and not to one of its other commands"
            )));
        }
    }
    match &mut command {
        // `--config` and `--set` may stand before or after the command.
        Command::Doctor { config, .. } => {
            if run.config.file.is_some() && config.file.is_some() {
                return Err(conflict("--config was given twice"));
            }
            config.file = run.config.file.or(config.file.take());
            config.sets.splice(..0, run.config.sets);
        }
        Command::Worker { .. } => {}
        _ if run.config != ConfigSource::default() => {
            return Err(conflict("this command takes neither --config nor --set"));
        }
        _ => {}
    }
    Ok(command)
}

/// Exit code after [`parse`] has failed, or has to print help or the version.
pub fn exit_code(stop: &clap::Error) -> u8 {
    if stop.use_stderr() { EXIT_USAGE } else { EXIT_OK }
}

/// `agent check-config`: its output and its exit code.
pub fn check_config(file: &Path, sources: Sources) -> (String, u8) {
    match Config::check_file(file, sources) {
        Ok(loaded) => {
            let no_output = loaded.config.has_output().err();
            let warnings = loaded.warnings.iter().chain(&no_output);
            let warnings = warnings.map(|warning| format!("warning: {warning}"));
            let lines = warnings.chain([format!("{}: ok", file.display())]);
            (lines.map(|line| printable(&line) + "\n").collect(), EXIT_OK)
        }
        Err(errors) => (format!("{errors}\n"), EXIT_USAGE),
    }
}

fn conflict(problem: &str) -> clap::Error {
    Arguments::command().error(ErrorKind::ArgumentConflict, problem)
}
