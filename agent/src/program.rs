//! Entry point of the program: from the command line to the exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use accelscope_core::exhausted;
use accelscope_core::holders::Holders;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::printable::printable;
use accelscope_core::source::{Context, Sources};
use accelscope_core::worker::orphans;
use accelscope_export::http::BindError;
use accelscope_export::otlp::BuildError;
use accelscope_memory::descriptors;
use anyhow::Context as _;

use crate::apart::{self, Apart};
use crate::cli::{self, Command, EXIT_FAILED, EXIT_OK, EXIT_USAGE};
use crate::config::{Environment, load};
use crate::{doctor, run, runtime, simulate, stack, standard_error};

/// Runs the agent with these sources.
pub fn main(sources: Sources) -> ExitCode {
    stack::with_enough(move || whole(sources))
}

fn whole(sources: Sources) -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    runtime::early::hold(&arguments);
    let apart = Apart::of(&mut arguments);
    let code = perform(&arguments, apart.is_some(), sources);
    // Nothing that is written is left in the process.
    io::stdout().flush().ok();
    if let Some(apart) = apart {
        apart.report(code);
    }
    give_back();
    code.into()
}

/// Before the process ends: a thread that waits for a file system which does not answer keeps it from ending, and what others
/// wait for would stay with it.
pub(crate) fn give_back() {
    // Threads that still run find their sockets at an end, which Tokio's driver of signals takes for a fault.
    std::panic::set_hook(Box::new(|_| ()));
    if let Err(error) = descriptors::give_back() {
        tracing::debug!(%error, "descriptors are given back by the end of the process alone");
    }
}

fn perform(arguments: &[OsString], is_apart: bool, sources: Sources) -> u8 {
    let parsed = cli::parse(arguments.iter().cloned());
    if !is_apart
        && matches!(parsed, Ok(Command::Doctor { .. } | Command::CheckConfig { .. }))
        && let Ok(code) = apart::run(arguments)
    {
        return code;
    }
    // What was inherited from a careless parent is nothing to a vendor's tool or library.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    // The simulator starts this program again for each writer; this command is not for users.
    if std::env::args().skip(1).eq(simulate::WRITER_ARGS) {
        return report(simulate::writer_main().map(|()| EXIT_OK).map_err(Into::into));
    }
    match parsed {
        Ok(command) => report(dispatch(command, sources)),
        Err(stop) => {
            // A failure to print the message cannot be reported.
            let code = cli::exit_code(&stop);
            // Errors quote arguments, which whoever starts the agent may have taken from anywhere: printable ones lead to the
            // same error.
            let arguments = arguments.iter().map(|argument| printable(&argument.to_string_lossy()));
            cli::parse(arguments).err().unwrap_or(stop).print().ok();
            code
        }
    }
}

fn dispatch(command: Command, sources: Sources) -> anyhow::Result<u8> {
    match command {
        Command::Run(run) => run::agent(&run, sources),
        Command::CheckConfig { file } => {
            let (text, code) = cli::check_config(&file, sources);
            say(&text, code)
        }
        Command::Doctor { config, json } => {
            let loaded = match load(&config.inputs(Environment::of_process()), sources) {
                Ok(loaded) => loaded,
                Err(errors) => return say(&format!("{errors}\n"), EXIT_USAGE),
            };
            let roots = loaded.config.host_roots();
            let context = Context {
                cgroups: Cgroups::new(&roots),
                holders: Holders::default(),
                roots,
                node_name: String::new(),
                once: true,
                per_process: loaded.config.attribution.per_process,
                sources,
                faults: accelscope_core::faults::Faults::default(),
            };
            orphans::adopt().ok();
            let findings = doctor::examine(&loaded, &context);
            let text = if json {
                serde_json::to_string_pretty(&findings)? + "\n"
            } else {
                doctor::text(&findings)
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
        Command::Simulate(command) => {
            command.run().context("the simulator ended")?;
            Ok(EXIT_OK)
        }
        Command::Worker { name } => {
            let source = sources.iter().find(|source| source.name == name);
            match source.and_then(|source| source.worker) {
                Some(worker) => {
                    // It is started by a link whose name the kernel would give it.
                    rustix::thread::set_name(c"agent").ok();
                    worker().context("the worker ended")?;
                    Ok(EXIT_OK)
                }
                None => say(
                    &format!("no worker is called {name:?}: none of the samplers that are built in needs one\n"),
                    EXIT_USAGE,
                ),
            }
        }
    }
}

/// Prints results to standard output, errors in usage or configuration to standard error.
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

fn report(result: anyhow::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        let is_usage = matches!(error.downcast_ref(), Some(BindError::File(_)));
        // Standard error may be closed or full; the exit code still reports the failure.
        standard_error::put(format!(
            "agent: {}\n",
            printable(&exhausted::with_remedy(format!("{error:#}")))
        ));
        let is_lasting = error.downcast_ref().is_some_and(BuildError::is_lasting);
        if is_usage || is_lasting {
            EXIT_USAGE
        } else {
            EXIT_FAILED
        }
    })
}
