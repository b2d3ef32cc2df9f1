//! Commands that look at files of others, in a child of the process that the user has started.
//!
//! A process in a call of a file system that does not answer (FUSE, NFS) cannot be killed, and has not ended for whoever waits
//! for it. So the child does the work and reports when it has done it, and the user's process ends then, whatever has become of
//! the child.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command};
use std::time::Duration;

use accelscope_core::worker::own_program;
use accelscope_core::worker::process::ended_within;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::cli::EXIT_FAILED;

/// First argument of the child; the number of a descriptor follows, then the user's arguments.
const WORD: &str = "apart";
/// Time for a child to end that has reported nothing: it has crashed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The child's side.
pub(crate) struct Apart {
    pipe: File,
}

impl Apart {
    /// Takes the words that are not the user's off the arguments, if this process is such a child. It ends with its parent.
    pub(crate) fn of(arguments: &mut Vec<OsString>) -> Option<Self> {
        let number: u32 = match arguments.get(1..3)? {
            [word, number] if word == OsStr::new(WORD) => number.to_str()?.parse().ok()?,
            _ => return None,
        };
        let pipe = File::options()
            .write(true)
            .open(format!("/proc/self/fd/{number}"))
            .ok()?;
        arguments.drain(1..3);
        set_parent_process_death_signal(Some(Signal::KILL)).ok();
        Some(Self { pipe })
    }

    /// Reports the exit code.
    pub(crate) fn report(mut self, code: u8) {
        // Without a reader the parent has ended.
        self.pipe.write_all(&[code]).ok();
    }
}

/// Has a child do what the arguments say, on the standard input and output of this process, and returns its exit code. Fails if
/// there can be no child.
pub(crate) fn run(arguments: &[OsString]) -> io::Result<u8> {
    let (mut told, pipe) = io::pipe()?;
    fcntl_setfd(&pipe, FdFlags::empty())?;
    let mut child = Command::new(own_program()?)
        .args([WORD.to_owned(), pipe.as_raw_fd().to_string()])
        .args(arguments.iter().skip(1))
        .spawn()?;
    drop(pipe);
    let mut code = Vec::new();
    // Ends when the child has given back its descriptors, which comes after it has written all.
    told.read_to_end(&mut code)?;
    Ok(code.first().copied().unwrap_or_else(|| crashed(&mut child)))
}

fn crashed(child: &mut Child) -> u8 {
    let status = ended_within(child, PATIENCE);
    let code = status.and_then(|status| status.code()?.try_into().ok());
    if code.is_none() {
        let how = status.map_or_else(|| "without an end".to_owned(), |status| status.to_string());
        writeln!(
            io::stderr(),
            "agent: the process that was to do it ended: {how}; run it again"
        )
        .ok();
    }
    code.unwrap_or(EXIT_FAILED)
}
