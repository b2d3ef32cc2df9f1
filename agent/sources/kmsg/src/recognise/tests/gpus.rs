//! Lines about GPUs of AMD and Intel.

use super::{is, is_none};
use crate::fault::Kind;

#[test]
fn gpus_of_amd() {
    let place = "0000:03:00.0";
    for (text, kind) in [
        // pop-os/cosmic-comp#2626 (Linux 6.8), ValveSoftware/SteamOS#2802, pop-os/cosmic-epoch#3764 (Linux 7.0)
        ("amdgpu 0000:03:00.0: amdgpu: GPU reset begin!", Kind::Reset),
        ("amdgpu 0000:03:00.0: GPU reset begin!. Source:  1", Kind::Reset),
        (
            "amdgpu 0000:03:00.0: amdgpu: ring gfx_0.0.0 timeout, signaled seq=7292300, emitted seq=7292304",
            Kind::Timeout,
        ),
        (
            "amdgpu 0000:03:00.0: ring gfx_0.0.0 timeout, signaled seq=57638, emitted seq=57641",
            Kind::Timeout,
        ),
        (
            "amdgpu 0000:03:00.0: amdgpu: ring sdma0 timeout, but soft recovered",
            Kind::Timeout,
        ),
        // amdgpu_job.c since Linux 6.12, drm_drv.c since 6.15
        (
            "amdgpu 0000:03:00.0: amdgpu: Starting gfx_0.0.0 ring reset",
            Kind::Reset,
        ),
        ("amdgpu 0000:03:00.0: Starting comp_1.0.0 ring reset", Kind::Reset),
        (
            "amdgpu 0000:03:00.0: amdgpu: Ring gfx_0.0.0 reset failed",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: amdgpu: Ring sdma0 reset failure",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: [drm] device wedged, needs recovery",
            Kind::DeviceLost,
        ),
        // amdgpu_device.c: `amdgpu_do_asic_reset`, `amdgpu_device_gpu_recover`
        (
            "amdgpu 0000:03:00.0: amdgpu: ASIC reset failed with error, -62 for drm dev, 0000:03:00.0",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: [drm] ASIC reset failed with error, -22 for drm dev, 0000:03:00.0",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: amdgpu: GPU reset end with ret = -62",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: amdgpu: GPU reset(2) failed with error -62 ",
            Kind::ResetFailed,
        ),
        (
            "amdgpu 0000:03:00.0: [drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx timeout, signaled seq=1, emitted seq=3",
            Kind::Timeout,
        ),
        // Without a device in front: `amdgpu_device_xgmi_reset_func`, older kernels
        (
            "[drm:amdgpu_do_asic_reset [amdgpu]] *ERROR* ASIC reset failed with error, -22 for drm dev, 0000:03:00.0",
            Kind::ResetFailed,
        ),
        (
            "[drm] ASIC reset failed with error, -22 for drm dev, 0000:03:00.0",
            Kind::ResetFailed,
        ),
        // amdgpu_device.c, kfd_int_process_v9.c
        ("amdgpu 0000:03:00.0: amdgpu: GPU reset(3) failed", Kind::ResetFailed),
        (
            "amdgpu 0000:03:00.0: amdgpu: poison is consumed by client 12, kick off gpu reset flow",
            Kind::Poison,
        ),
    ] {
        is(text, kind, None, place);
    }
    // tomsom/yoga-linux#38
    is(
        "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring sdma0 timeout, signaled seq=121570, emitted seq=121572",
        Kind::Timeout,
        None,
        "amdgpu",
    );
    for text in [
        "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* Process information: process Xorg pid 1037 thread Xorg:cs0 pid 1046",
        "amdgpu 0000:03:00.0: amdgpu: Ring gfx_0.0.0 reset succeeded",
        "amdgpu 0000:03:00.0: amdgpu: Starting now with a ring reset",
        "amdgpu 0000:03:00.0: [drm] device wedged, but recovered through reset",
        "[drm] ring sdma0 uses VM inv eng 0 on hub 0",
        "[drm] device wedged, needs recovery",
        "amdgpu 0000:03:00.0: amdgpu: GPU reset succeeded, trying to resume",
        "amdgpu 0000:03:00.0: amdgpu: GPU reset(2) succeeded!",
        "amdgpu 0000:03:00.0: amdgpu: ring gfx_0.0.0 uses VM inv eng 0 on hub 0",
        // They are printed whenever a tool asks for the counts, and tell no event.
        "amdgpu 0000:03:00.0: amdgpu: 2 uncorrectable hardware errors detected in umc block",
    ] {
        is_none(text);
    }
}

#[test]
fn gpus_of_intel() {
    let place = "0000:00:02.0";
    for (text, kind) in [
        // clearlinux/distribution#2907, drm/intel#2935
        (
            "i915 0000:00:02.0: [drm] GPU HANG: ecode 12:1:0020fffe, in xdg-desktop-por [1676]",
            Kind::Hang,
        ),
        (
            "i915 0000:00:02.0: [drm] GT0: Resetting chip for stopped heartbeat on rcs0",
            Kind::Reset,
        ),
        ("i915 0000:00:02.0: [drm] Resetting rcs0 for CS error", Kind::Reset),
        (
            "i915 0000:00:02.0: [drm] device wedged, needs recovery",
            Kind::DeviceLost,
        ),
        // Linux 5.3 to 5.5, without DRM's prefix
        (
            "i915 0000:00:02.0: GPU HANG: ecode 9:1:0x00000000, in Xorg [1140], hang on rcs0",
            Kind::Hang,
        ),
        ("i915 0000:00:02.0: Resetting rcs0 for hang on rcs0", Kind::Reset),
        ("i915 0000:00:02.0: Resetting chip for hang on rcs0", Kind::Reset),
        (
            "Fence expiration time out i915-0000:00:02.0:clpeak[2387]:2!",
            Kind::Timeout,
        ),
        // CachyOS/linux-cachyos#892, intel/compute-runtime#948
        (
            "xe 0000:00:02.0: [drm] Tile0: GT0: Timedout job: seqno=106926, lrc_seqno=106926, guc_id=6, flags=0x20 in llama-bench [260404]",
            Kind::Timeout,
        ),
        (
            "xe 0000:00:02.0: [drm] GT0: Engine reset: engine_class=bcs, logical_mask: 0x2, guc_id=0",
            Kind::Reset,
        ),
        ("xe 0000:00:02.0: [drm] Tile0: GT0: reset started", Kind::Reset),
        ("xe 0000:00:02.0: [drm] device wedged, needs recovery", Kind::DeviceLost),
        (
            "xe 0000:00:02.0: [drm] *ERROR* Tile0: GT0: reset failed (-ETIMEDOUT)",
            Kind::ResetFailed,
        ),
        (
            r"xe 0000:00:02.0: [drm] *ERROR* CRITICAL: Xe has declared device 0000:00:02.0 as wedged.\x0aIOCTLs and executions are blocked.",
            Kind::DeviceLost,
        ),
    ] {
        is(text, kind, None, place);
    }
    // Before Linux 5.3
    is(
        "[drm] GPU HANG: ecode 9:0:0x85dffffb, hang on rcs0",
        Kind::Hang,
        None,
        "i915",
    );
    is_none("i915 0000:00:02.0: Xorg[3043] context reset due to GPU hang");
    is_none("i915 0000:00:02.0: [drm] Xorg[3043] context reset due to GPU hang");
    is_none("xe 0000:00:02.0: [drm] Tile0: GT0: reset queued");
    is_none("xe 0000:00:02.0: [drm] GT0: reset done");
}
