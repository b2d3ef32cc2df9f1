//! Drivers come and go.

use anyhow::{Result, ensure};

use super::{attributed, known};
use crate::vmtest::outcome::Left;

pub(super) fn judge(left: &Left) -> Result<String> {
    if let Some(why) = left.noted("skipped").next() {
        return Ok(format!("skipped: {why}"));
    }
    // A driver that cannot be unloaded cannot be updated.
    ensure!(
        left.noted("rmmod-failed").next().is_none(),
        "the agent keeps the driver from being unloaded: {}",
        left.file("rmmod.err").unwrap_or_default().trim()
    );
    let truth = left.truth("before", "after")?;
    known::holds(&truth)?;
    left.undisturbed()?;
    let none = left.programs("absent")?;
    ensure!(none.is_empty(), "programs without a device to watch: {none:?}");
    let first = left.programs("first")?;
    ensure!(!first.is_empty(), "no program for the first driver");
    attributed::calls(&left.points, &truth)?;
    let after = left.programs("after")?;
    ensure!(after.is_empty(), "programs that outlive the agent: {after:?}");
    Ok("no program before the first driver; all calls of the second one attributed".to_owned())
}
