//! The simulator in the foreground.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::error::SimulateError;
use super::fleet::Fleet;
use super::options::Options;
use accelscope_core::host::{is_hangup_ignored, poll};

/// Intervals between two killed writers.
const KILL_EVERY: u32 = 5;

/// Simulates until SIGTERM, SIGINT, or a SIGHUP that is not ignored, then ends the writers, which remove their files.
///
/// Fails at once where the options make no sense or the directory cannot be made, and later when a writer fails or
/// none is left.
pub fn run(options: Options) -> Result<(), SimulateError> {
    let ends: &[i32] = if is_hangup_ignored() {
        &[SIGTERM, SIGINT]
    } else {
        &[SIGTERM, SIGINT, SIGHUP]
    };
    let stop = signals(ends).map_err(SimulateError::system("cannot watch for SIGTERM"))?;
    let mut ended = signals(&[SIGCHLD]).map_err(SimulateError::system("cannot watch for SIGCHLD"))?;
    let pause = options.interval * KILL_EVERY;
    let mut turn = options.seed;
    let mut next_kill = options.kill_some.then(|| Instant::now() + pause);
    let mut fleet = Fleet::start(options)?;
    loop {
        let mut ready = [PollFd::new(&stop, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
        poll::wait(&mut ready, next_kill).map_err(SimulateError::system("cannot wait for signals"))?;
        if !ready[0].revents().is_empty() {
            return Ok(());
        }
        // Until it would block; a pair of sockets does not fail otherwise.
        while ended.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        fleet.reap()?;
        if next_kill.is_some_and(|at| at <= Instant::now()) {
            fleet.replace(turn)?;
            turn = turn.wrapping_add(1);
            next_kill = Some(Instant::now() + pause);
        }
    }
}

/// A stream on which each of `signals` puts a byte.
fn signals(signals: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for &signal in signals {
        pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}
