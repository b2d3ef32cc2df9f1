//! Cost of calls to other devices: number of program runs that they cause.

use anyhow::{Result, ensure};

use super::Rung;
use crate::vmtest::outcome::Left;

/// Number of calls that init requests of `work null`.
const CALLS: u64 = 2000;

pub(super) fn judge(left: &Left, rung: Rung) -> Result<String> {
    let (before, after) = (left.programs("null-before")?, left.programs("null-after")?);
    ensure!(!before.is_empty(), "the kernel has no program of the agent");
    let mut runs = 0;
    let mut names = Vec::new();
    for (id, program) in after.iter().filter(|(_, program)| program.is_hook()) {
        let more = program.runs - before.get(id).map_or(0, |before| before.runs);
        if more > 0 {
            names.push(format!("{} {more}", program.name));
        }
        runs += more;
    }
    if rung == Rung::Tracepoint {
        // Control: a tracepoint's programs run for every call.
        ensure!(
            runs >= CALLS,
            "{CALLS} ioctls of another device ran programs {runs} times only"
        );
    } else {
        ensure!(
            runs == 0,
            "{CALLS} ioctls of another device and as many other calls ran {}",
            names.join(", ")
        );
    }
    Ok(format!("{CALLS} calls of another device ran programs {runs} times"))
}
