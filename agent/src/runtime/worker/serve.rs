//! The worker's side of the pipe.

use std::io::{self, Write};

use rustix::process::{Signal, set_parent_process_death_signal};

use super::protocol::{Reply, Request, frame, read_frame};

/// Answers the agent's requests until it closes the pipe. The worker dies with the agent whatever it is doing.
pub fn serve(mut sample: impl FnMut(u64) -> Reply) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(body) = read_frame(&mut input)? {
        let request: Request = serde_json::from_slice(&body)?;
        output.write_all(&frame(&sample(request.id))?)?;
        output.flush()?;
    }
    Ok(())
}
