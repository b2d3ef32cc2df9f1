//! The worker's side of the pipe.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};

use serde::de::DeserializeOwned;

use super::protocol::{Reply, Request, frame, read_frame};

/// What the worker is to do, as its agent put it into that variable of its environment.
///
/// # Errors
///
/// Where it is not there, as when a person starts the worker, or is not what this build of the agent writes.
pub fn order<T: DeserializeOwned>(variable: &str) -> io::Result<T> {
    let Some(order) = std::env::var_os(variable) else {
        let message = format!("{variable} is not set: this command is for the agent itself");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    Ok(serde_json::from_str(&order.to_string_lossy())?)
}

/// Answers the agent's requests until it closes the pipe. The worker dies with the agent whatever it is doing.
pub fn serve(mut sample: impl FnMut(u64) -> Reply) -> io::Result<()> {
    serve_renewing(|id| (sample(id), None))
}

/// The same, for vendor code that only a new process can recover: after a reply that comes with a command, the worker's
/// process becomes that command, which serves the same pipe.
pub fn serve_renewing(mut sample: impl FnMut(u64) -> (Reply, Option<Command>)) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut input = io::stdin().lock();
    // Vendor code prints what it likes to standard output: that becomes standard error, and the pipe a file of ours.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    while let Some(body) = read_frame(&mut input)? {
        let request: Request = serde_json::from_slice(&body)?;
        let (reply, renewal) = sample(request.id);
        output.write_all(&frame(&reply)?)?;
        output.flush()?;
        if let Some(mut command) = renewal {
            // The next request comes after this reply, so nothing of it is in the buffer of standard input.
            rustix::stdio::dup2_stdout(&output)?;
            return Err(command.exec());
        }
    }
    Ok(())
}
