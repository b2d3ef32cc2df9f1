//! Loading and unloading of drivers.

use anyhow::{Result, ensure};

use super::{SKIPPED, attributed, known};
use crate::vmtest::outcome::Left;

pub(super) fn judge(left: &Left) -> Result<String> {
    let truth = left.truth("before", "after")?;
    known::holds(&truth)?;
    left.undisturbed()?;
    let none = left.programs("absent")?;
    ensure!(none.is_empty(), "programs without a device to watch: {none:?}");
    let first = left.programs("first")?;
    ensure!(!first.is_empty(), "no program for the first driver");
    let made = attributed::calls(&left.points, &truth)?;
    let after = left.programs("after")?;
    ensure!(after.is_empty(), "programs that outlive the agent: {after:?}");
    Ok(format!("no program before the first driver; of the second one {made}"))
}

/// A trampoline of the kernel takes a reference on the module (seen on 6.1 and 6.12); the doctor must report the holder
/// to the administrator.
pub(super) fn held(left: &Left) -> Result<String> {
    if let Some(why) = left.noted("skipped").next() {
        return Ok(format!("{SKIPPED}{why}"));
    }
    left.undisturbed()?;
    ensure!(
        left.noted("held").next().is_some(),
        "the driver could be unloaded: then say so everywhere"
    );
    let said = left.file("doctor.json")?;
    ensure!(
        said.contains("hailo_pci cannot be unloaded"),
        "doctor does not say that the driver is held"
    );
    Ok("held while the agent runs, as doctor says, and free afterwards".to_owned())
}
