//! Server loop of a worker process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, getpid, kill_process};

use super::descendants;
use super::fit::fitting;
use super::protocol::{Reply, Request, read_frame};
use crate::host::poll;

/// Answers after which all that is done once has been done, and its memory is returned to the kernel.
const FIRST_RELEASE: u64 = 2;
/// Answers between two later returns: ten minutes at the default intervals.
const RELEASE_INTERVAL: u64 = 60;
/// Time for what the vendor's code has started to end, before the worker itself does.
const PATIENCE: Duration = Duration::from_millis(100);
/// Stack of the thread that waits for the agent's end.
const STACK: usize = 64 << 10;

/// Answers the agent's requests until it closes the pipe. Then, or when the agent is killed, the worker ends at once with all
/// that it has started, whatever the vendor's code is in.
pub fn serve(mut sample: impl FnMut(u64) -> Reply<'static>) -> io::Result<()> {
    descendants::adopt()?;
    descendants::resume_at_end_of_parent()?;
    let watched = io::stdin().as_fd().try_clone_to_owned()?;
    std::thread::Builder::new()
        .name("agent-end".to_owned())
        .stack_size(STACK)
        .spawn(move || end_with_agent(&watched))?;
    let mut input = io::stdin().lock();
    // Vendor code prints to standard output: it is redirected to standard error, and the pipe gets a descriptor of its
    // own.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    let mut answers = 0_u64;
    let mut ended = Vec::new();
    while let Some(body) = read_frame(&mut input)? {
        let request: Request = serde_json::from_slice(&body)?;
        output.write_all(&fitting(&mut sample(request.id))?)?;
        output.flush()?;
        descendants::reap_adopted(&mut ended);
        answers += 1;
        if answers == FIRST_RELEASE || answers.is_multiple_of(RELEASE_INTERVAL) {
            // The worker does its work without it.
            accelscope_memory::release().ok();
        }
    }
    descendants::kill_all(PATIENCE);
    Ok(())
}

/// Ends this process when the other end of its standard input is closed. A signal on the death of the parent
/// (`PR_SET_PDEATHSIG`) would leave behind what the vendor's code has started, and would come with the end of a thread.
fn end_with_agent(input: &OwnedFd) {
    let mut pipe = [PollFd::new(input, PollFlags::empty())];
    while !poll::wait(&mut pipe, None).is_ok_and(|closed| closed) {}
    descendants::kill_all(PATIENCE);
    // Not by `exit`, which runs the vendor's code.
    kill_process(getpid(), Signal::KILL).ok();
}
