//! Findings for `agent doctor`.

use accelscope_core::host::HostRoots;
use accelscope_core::sampler::{Finding, Outcome};
use rustix::fs::{Access, access};

use super::NAME;
use super::place::{self, PERMISSION, Place};

/// What can be said without opening the device.
pub(super) fn explain(roots: &HostRoots) -> Vec<Finding> {
    let place = place::look(roots);
    let Place::Node(node) = place else {
        return vec![absent(&place)];
    };
    if access(place::path(roots, node), Access::READ_OK).is_err() {
        return vec![Finding::warn(NAME, format!("{node} may not be opened")).with_remedy(PERMISSION)];
    }
    vec![Finding::ok(NAME, format!("{node} is there"))]
}

/// What the sampler's last run says.
pub(super) fn found(place: &Place, outcome: &Outcome) -> Vec<Finding> {
    let Place::Node(node) = place else {
        return vec![absent(place)];
    };
    vec![match outcome {
        Outcome::Sampled => Finding::ok(NAME, format!("the BMC answers at {node}")),
        Outcome::NothingHere(reason) if reason.starts_with(place::STALE) => Finding::nothing(NAME, reason),
        Outcome::NothingHere(reason) | Outcome::Gone(reason) => Finding::warn(NAME, reason),
        Outcome::Retry(error) => Finding::warn(NAME, format!("{node}: {error}")).with_remedy(
            "look at `dmesg` for ipmi_si; a BMC that hangs is reset at its own web page or by `ipmitool mc reset cold`",
        ),
    }]
}

fn absent(place: &Place) -> Finding {
    let finding = match place {
        Place::NoNode => Finding::warn(NAME, place.reason()),
        _ => Finding::nothing(NAME, place.reason()),
    };
    match place.remedy() {
        Some(remedy) => finding.with_remedy(remedy),
        None => finding,
    }
}
