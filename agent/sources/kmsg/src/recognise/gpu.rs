//! GPUs of AMD and Intel.

use crate::fault::{Fault, Kind, Place};
use crate::pci::Pci;

/// Lines of drivers that name no device in front.
pub(super) fn without_device(text: &str) -> Option<Fault<'_>> {
    // amdgpu_job.c before Linux 6.13, without a device.
    if let Some(rest) = text.strip_prefix(JOB_TIMED_OUT) {
        return is_ring_timeout(rest).then_some(Fault {
            kind: Kind::Timeout,
            code: None,
            place: Place::Driver("amdgpu"),
        });
    }
    // i915/gt/intel_gt_requests.c: `Fence expiration time out i915-0000:03:00.0:clpeak[2387]:2!`
    let rest = text.strip_prefix("Fence expiration time out i915-")?;
    let pci = Pci::parse(rest.get(..ADDRESS)?)?;
    rest[ADDRESS..].starts_with(':').then_some(Fault {
        kind: Kind::Timeout,
        code: None,
        place: Place::Pci(pci),
    })
}

const JOB_TIMED_OUT: &str = "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ";
/// Length of an address with a domain of four digits.
const ADDRESS: usize = 12;

/// Behind `amdgpu 0000:03:00.0: `; until Linux 6.16 `amdgpu: ` follows once more.
pub(super) fn amd(rest: &str) -> Option<Kind> {
    let rest = rest.strip_prefix("amdgpu: ").unwrap_or(rest);
    let rest = rest.strip_prefix(JOB_TIMED_OUT).unwrap_or(rest);
    if is_ring_timeout(rest) {
        return Some(Kind::Timeout);
    }
    // amdgpu_device.c (`amdgpu_device_gpu_recover`).
    if rest.starts_with("GPU reset begin!") {
        return Some(Kind::Reset);
    }
    if let Some(rest) = rest.strip_prefix("GPU reset(") {
        let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        return rest.starts_with(") failed").then_some(Kind::ResetFailed);
    }
    // amdkfd/kfd_int_process_v9.c and others: a program has read memory that ECC could not correct.
    let poison = ["poison is consumed by client ", "RAS poison consumption"];
    poison
        .iter()
        .any(|begin| rest.starts_with(begin))
        .then_some(Kind::Poison)
}

/// `ring gfx_0.0.0 timeout, signaled seq=1, emitted seq=2`, or `…, but soft recovered`.
fn is_ring_timeout(rest: &str) -> bool {
    let rest = rest.strip_prefix("ring ").and_then(|rest| rest.split_once(' '));
    rest.is_some_and(|(_, rest)| rest.starts_with("timeout, "))
}

/// Behind `i915 0000:00:02.0: `.
pub(super) fn i915(rest: &str) -> Option<Kind> {
    let rest = drm(rest)?;
    // i915_gpu_error.c: `GPU HANG: ecode 12:1:85dffffb, in Xorg [1]`.
    if rest.starts_with("GPU HANG: ecode ") {
        return Some(Kind::Hang);
    }
    // gt/intel_reset.c: `Resetting chip for stopped heartbeat on rcs0`, `Resetting rcs0 for preemption time out`.
    let (_, reason) = rest.strip_prefix("Resetting ")?.split_once(' ')?;
    reason.starts_with("for ").then_some(Kind::Reset)
}

/// Behind `xe 0000:03:00.0: `.
pub(super) fn xe(rest: &str) -> Option<Kind> {
    let rest = drm(rest)?;
    let begins: [(&str, Kind); 5] = [
        // xe_guc_submit.c
        ("Timedout job: seqno=", Kind::Timeout),
        ("Engine reset: ", Kind::Reset),
        // xe_gt.c
        ("reset started", Kind::Reset),
        ("reset failed (", Kind::ResetFailed),
        // xe_device.c: nothing runs on it until the driver is bound anew.
        ("CRITICAL: Xe has declared device ", Kind::DeviceLost),
    ];
    begins
        .iter()
        .find(|(begin, _)| rest.starts_with(begin))
        .map(|(_, kind)| *kind)
}

/// What DRM's messages have in front: `[drm] *ERROR* Tile0: GT1: `.
fn drm(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("[drm] ")?;
    let rest = rest.strip_prefix("*ERROR* ").unwrap_or(rest);
    Some(unit(unit(rest, "Tile"), "GT"))
}

fn unit<'a>(rest: &'a str, name: &str) -> &'a str {
    let without = || {
        let (number, behind) = rest.strip_prefix(name)?.split_once(": ")?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(behind)
    };
    without().unwrap_or(rest)
}
