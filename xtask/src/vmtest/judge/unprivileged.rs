//! A kernel that denies every hook.

use anyhow::{Result, ensure};

use crate::vmtest::outcome::Left;

pub(super) fn judge(left: &Left) -> Result<String> {
    left.undisturbed()?;
    ensure!(!left.points.is_empty(), "the agent printed nothing");
    let log = left.file("agent.err")?;
    let complaints: Vec<_> = log
        .lines()
        .filter(|line| line.contains("calls of these devices are not seen"))
        .collect();
    ensure!(
        complaints.len() == 1,
        "not one line about it but {}: {complaints:?}",
        complaints.len()
    );
    let sampled = left.points.iter().any(|point| point.name == "hailo.device.info");
    ensure!(sampled, "the rest of the agent does not go on");
    let why = complaints[0].split("why=").nth(1).unwrap_or_default();
    Ok(format!("one line: {}…", why.chars().take(60).collect::<String>()))
}
