//! GPUs of AMD and Intel.

use crate::fault::{Fault, Kind, Place, Step};
use crate::pci::Pci;

/// Lines of drivers that name no device in front.
pub(super) fn without_device(text: &str) -> Option<Fault<'_>> {
    // amdgpu_job.c before Linux 6.13, without a device.
    if let Some(rest) = text.strip_prefix(JOB_TIMED_OUT) {
        return is_ring_timeout(rest).then_some(Fault::new(Kind::Timeout, Place::Driver("amdgpu")));
    }
    if text.starts_with("[drm") {
        return of_drm(drm(text));
    }
    // i915/gt/intel_gt_requests.c: `Fence expiration time out i915-0000:03:00.0:clpeak[2387]:2!`
    let rest = text.strip_prefix("Fence expiration time out i915-")?;
    let pci = Pci::parse(rest.get(..ADDRESS)?)?;
    rest[ADDRESS..]
        .starts_with(':')
        .then_some(Fault::new(Kind::Timeout, Place::Pci(pci)))
}

/// Behind `[drm] ` or `[drm:amdgpu_do_asic_reset [amdgpu]] *ERROR* `, of kernels whose drivers wrote no device in front.
fn of_drm(rest: &str) -> Option<Fault<'_>> {
    // i915_gpu_error.c before Linux 5.3.
    if rest.starts_with(HANG) {
        return Some(Fault::new(Kind::Hang, Place::Driver("i915")));
    }
    // amdgpu_device.c (`amdgpu_device_xgmi_reset_func`, in old kernels `amdgpu_do_asic_reset`):
    // `ASIC reset failed with error, -62 for drm dev, 0000:03:00.0`.
    let (_, address) = rest.strip_prefix(ASIC_RESET_FAILED)?.split_once(" for drm dev, ")?;
    Some(Fault {
        step: Some(Step::HardwareFailed),
        ..Fault::new(Kind::ResetFailed, Place::Pci(Pci::parse(address)?))
    })
}

const HANG: &str = "GPU HANG: ecode ";
const ASIC_RESET_FAILED: &str = "ASIC reset failed with error, ";
/// `drm_dev_wedged_event`, drm_drv.c since Linux 6.15; where the driver has helped itself, it ends differently.
const WEDGED: &str = "device wedged, needs recovery";
const JOB_TIMED_OUT: &str = "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ";
/// Length of an address with a domain of four digits.
const ADDRESS: usize = 12;

/// Behind `amdgpu 0000:03:00.0: `; in many kernels until Linux 6.16 `amdgpu: ` follows once more.
pub(super) fn amd(rest: &str) -> Option<Kind> {
    let rest = behind_amd(rest);
    if is_ring_timeout(rest) {
        return Some(Kind::Timeout);
    }
    match step(rest) {
        Some(Step::Begun) => return Some(Kind::Reset),
        Some(_) => return Some(Kind::ResetFailed),
        None => {}
    }
    // amdgpu_job.c since Linux 6.12: `Starting gfx_0.0.0 ring reset`.
    let ring = |begin, end| {
        let name: Option<&str> = rest.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
        name.is_some_and(|name| !name.is_empty() && !name.contains(' '))
    };
    if ring("Starting ", " ring reset") {
        return Some(Kind::Reset);
    }
    // `failure` in the first of these kernels. The whole GPU is reset next.
    if ring("Ring ", " reset failed") || ring("Ring ", " reset failure") {
        return Some(Kind::ResetFailed);
    }
    if rest == WEDGED {
        return Some(Kind::DeviceLost);
    }
    // amdkfd/kfd_int_process_v9.c and others: a program has read memory that ECC could not correct.
    let poison = ["poison is consumed by client ", "RAS poison consumption"];
    poison
        .iter()
        .any(|begin| rest.starts_with(begin))
        .then_some(Kind::Poison)
}

fn behind_amd(rest: &str) -> &str {
    drm(rest.strip_prefix("amdgpu: ").unwrap_or(rest))
}

/// Which line about the reset of a whole GPU it is (`amdgpu_device_gpu_recover`, amdgpu_device.c), behind `amdgpu 0000:03:00.0: `.
pub(super) fn step(rest: &str) -> Option<Step> {
    let rest = behind_amd(rest);
    let begins = [
        ("GPU reset begin!", Step::Begun),
        (ASIC_RESET_FAILED, Step::HardwareFailed),
        ("GPU reset end with ret = ", Step::Ended),
    ];
    if let Some((_, step)) = begins.iter().find(|(begin, _)| rest.starts_with(begin)) {
        return Some(*step);
    }
    let rest = rest.strip_prefix("GPU reset(")?;
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    rest.starts_with(") failed").then_some(Step::Failed)
}

/// `ring gfx_0.0.0 timeout, signaled seq=1, emitted seq=2`, or `…, but soft recovered`.
fn is_ring_timeout(rest: &str) -> bool {
    let rest = rest.strip_prefix("ring ").and_then(|rest| rest.split_once(' '));
    rest.is_some_and(|(_, rest)| rest.starts_with("timeout, "))
}

/// Behind `i915 0000:00:02.0: `.
pub(super) fn i915(rest: &str) -> Option<Kind> {
    let rest = drm(rest);
    // i915_gpu_error.c: `GPU HANG: ecode 12:1:85dffffb, in Xorg [1]`.
    if rest.starts_with(HANG) {
        return Some(Kind::Hang);
    }
    // gt/intel_reset.c (`intel_gt_reset_global`): no reset has helped.
    if rest == WEDGED {
        return Some(Kind::DeviceLost);
    }
    // gt/intel_reset.c: `Resetting chip for stopped heartbeat on rcs0`, `Resetting rcs0 for preemption time out`.
    let (_, reason) = rest.strip_prefix("Resetting ")?.split_once(' ')?;
    reason.starts_with("for ").then_some(Kind::Reset)
}

/// Behind `xe 0000:03:00.0: `.
pub(super) fn xe(rest: &str) -> Option<Kind> {
    let rest = drm(rest);
    if xe_step(rest).is_some() {
        return Some(Kind::DeviceLost);
    }
    let begins: [(&str, Kind); 4] = [
        // xe_guc_submit.c
        ("Timedout job: seqno=", Kind::Timeout),
        ("Engine reset: ", Kind::Reset),
        // xe_gt.c
        ("reset started", Kind::Reset),
        ("reset failed (", Kind::ResetFailed),
    ];
    begins
        .iter()
        .find(|(begin, _)| rest.starts_with(begin))
        .map(|(_, kind)| *kind)
}

/// Which line about a GPU that is lost it is (`xe_device_declare_wedged`, xe_device.c), behind `xe 0000:03:00.0: `: nothing runs on
/// it until the driver is bound anew. The first one is written once, the second one whenever the driver finds the GPU so again.
pub(super) fn xe_step(rest: &str) -> Option<Step> {
    let rest = drm(rest);
    if rest.starts_with("CRITICAL: Xe has declared device ") {
        return Some(Step::DeclaredWedged);
    }
    (rest == WEDGED).then_some(Step::Wedged)
}

/// Behind what DRM's messages have in front: `[drm] *ERROR* Tile0: GT1: `, in some kernels the function in place of `[drm]`
/// (`[drm:amdgpu_job_timedout [amdgpu]]`, drm_print.c). Messages that are not DRM's have none of it, as those of i915 before
/// Linux 5.6.
fn drm(rest: &str) -> &str {
    let function = || rest.strip_prefix("[drm:")?.split_once("] ").map(|(_, rest)| rest);
    let rest = rest.strip_prefix("[drm] ").or_else(function).unwrap_or(rest);
    let rest = rest.strip_prefix("*ERROR* ").unwrap_or(rest);
    unit(unit(rest, "Tile"), "GT")
}

fn unit<'a>(rest: &'a str, name: &str) -> &'a str {
    let without = || {
        let (number, behind) = rest.strip_prefix(name)?.split_once(": ")?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(behind)
    };
    without().unwrap_or(rest)
}
