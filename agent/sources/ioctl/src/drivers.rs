//! The drivers of each family.

mod hailo;

use super::driver::Driver;
use super::families::Family;

/// A family whose calls are counted by command alone.
#[derive(Debug)]
struct Plain;

impl Driver for Plain {}

/// The drivers of a family.
pub(super) fn of(family: Family) -> &'static dyn Driver {
    if hailo::has(family) {
        &hailo::HailoDriver
    } else {
        &Plain
    }
}
