//! A kernel that refuses everything.

use anyhow::{Result, ensure};

use crate::vmtest::outcome::Left;

pub(super) fn judge(left: &Left) -> Result<String> {
    // That no call is seen is what this is about.
    for word in ["agent-gone", "play-failed"] {
        ensure!(left.noted(word).next().is_none(), "{word}");
    }
    let exit = left.noted("agent-exit").next().unwrap_or("none");
    ensure!(exit == "0", "the agent ended with {exit}");
    ensure!(!left.points.is_empty(), "the agent printed nothing");
    let log = left.file("agent.err")?;
    let complaints: Vec<_> = log.lines().filter(|line| line.contains("ioctl")).collect();
    ensure!(
        complaints.len() == 1,
        "not one line about it but {}: {complaints:?}",
        complaints.len()
    );
    Ok(complaints[0].to_owned())
}
