//! The agent's program: command line in, exit code out.

mod run;

use std::io::Write;
use std::process::ExitCode;

use accelscope::cli::{self, Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE};
use accelscope::config::{Environment, load};
use accelscope::doctor;
use accelscope_simulate as simulate;
use anyhow::Context;

fn main() -> ExitCode {
    // The simulator starts this program again for each writer; that is no command for people.
    if std::env::args().skip(1).eq(simulate::WRITER_ARGS) {
        return report(simulate::writer_main().map(|()| EXIT_OK).map_err(Into::into));
    }
    match cli::parse(std::env::args_os()) {
        Ok(command) => report(dispatch(command)),
        Err(stop) => {
            // Nothing is left to say it with if this fails.
            stop.print().ok();
            stop.exit_code().into()
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(run) => run::agent(&run),
        Command::CheckConfig { file } => {
            let (text, code) = cli::check_config(&file);
            say(&text, code)
        }
        Command::Doctor { config, json } => {
            let loaded = match load(&config.sources(Environment::of_process())) {
                Ok(loaded) => loaded,
                Err(errors) => return say(&format!("{errors}\n"), EXIT_USAGE),
            };
            let findings = doctor::examine(&loaded.config, &loaded.config.host_roots());
            let text = if json {
                serde_json::to_string_pretty(&findings)? + "\n"
            } else {
                findings.iter().map(|finding| format!("{finding}\n")).collect()
            };
            say(
                &text,
                if doctor::can_run(&findings) {
                    EXIT_OK
                } else {
                    EXIT_FAILED
                },
            )
        }
        Command::SimulateHailo(settings) => {
            simulate::run(options(settings)).context("the simulator ended")?;
            Ok(EXIT_OK)
        }
        #[cfg(feature = "ascend")]
        Command::Worker { name } if name == "ascend" => {
            accelscope_ascend::dcmi::serve().context("the worker ended")?;
            Ok(EXIT_OK)
        }
        #[cfg(feature = "nvidia")]
        Command::Worker { name } if name == "nvidia" => {
            accelscope_nvidia::serve().context("the worker ended")?;
            Ok(EXIT_OK)
        }
        Command::Worker { name } => say(
            &format!("no worker is called {name:?}: none of the samplers that are built in needs one\n"),
            EXIT_USAGE,
        ),
    }
}

fn options(settings: cli::SimulateHailo) -> simulate::Options {
    simulate::Options {
        dir: settings.dir,
        processes: settings.processes,
        networks: settings.networks,
        streams: settings.streams,
        interval: settings.interval,
        write_mode: match settings.write_mode {
            cli::WriteMode::InPlace => simulate::WriteMode::InPlace,
            cli::WriteMode::Rename => simulate::WriteMode::Rename,
        },
        kill_some: settings.kill_some,
        ..simulate::Options::default()
    }
}

/// Results go to standard output, what is wrong with usage or configuration to standard error.
fn say(text: &str, code: u8) -> anyhow::Result<u8> {
    let written = if code == EXIT_USAGE {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("the result cannot be written")
        }
        _ => Ok(code),
    }
}

fn report(result: anyhow::Result<u8>) -> ExitCode {
    let code = result.unwrap_or_else(|error| {
        // Standard error may be closed; the exit code still tells.
        writeln!(std::io::stderr(), "agent: {error:#}").ok();
        EXIT_FAILED
    });
    code.into()
}
