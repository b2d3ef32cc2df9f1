//! Expected figures of `xtask/vm/work.c`, derived from its source. The stub's own figures must be equal.

use anyhow::{Result, ensure};

use crate::vmtest::outcome::Truth;

/// Arguments in `play` of `xtask/vm/init`.
const THREADS: i64 = 4;
const FRAMES: i64 = 25;
const PROCESSES: i64 = 20;

/// Container and pod of `xtask/vm/init`.
pub(super) const CONTAINER: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
pub(super) const POD: &[(&str, &str)] = &[
    ("k8s.pod.name", "camera-7d9f"),
    ("k8s.namespace.name", "vision"),
    ("k8s.container.name", "detector"),
    ("k8s.pod.uid", "11111111-2222-3333-4444-555555555555"),
];
pub(super) const DEVICE: &str = "hailo0";

/// Failing calls by name of the error.
pub(super) const ERRORS: &[(&str, i64)] = &[("EINVAL", 2 * THREADS), ("EFAULT", THREADS), ("ENOTTY", THREADS)];

/// A frame is one transfer on the only input channel.
pub(super) const FRAMES_SUBMITTED: i64 = THREADS * FRAMES + PROCESSES * 3;

const KNOWN: &[(&str, i64)] = &[
    ("calls.QUERY_DRIVER_INFO", THREADS),
    ("calls.QUERY_DEVICE_PROPERTIES", THREADS),
    ("calls.MARK_AS_IN_USE", 1),
    ("calls.VDMA_ENABLE_CHANNELS", THREADS),
    ("calls.VDMA_DISABLE_CHANNELS", THREADS),
    ("calls.FW_CONTROL", THREADS * 4),
    ("calls.VDMA_LAUNCH_TRANSFER", THREADS * (FRAMES * 3 + 3) + PROCESSES * 3),
    ("calls.VDMA_INTERRUPTS_WAIT", THREADS * FRAMES),
    ("calls.READ_NOTIFICATION", 0),
    ("calls.UNKNOWN", THREADS),
    ("errors.VDMA_LAUNCH_TRANSFER", THREADS * 3),
    ("errors.UNKNOWN", THREADS),
    ("launches.to_device", FRAMES_SUBMITTED),
    ("launches.from_device", THREADS * FRAMES * 2),
    ("buffers.to_device", FRAMES_SUBMITTED),
    ("buffers.from_device", THREADS * FRAMES * 3),
    ("bytes.to_device", THREADS * FRAMES * 1000 + PROCESSES * 3 * 500),
    ("bytes.from_device", THREADS * FRAMES * (200 + 2 * 30)),
    ("switches", THREADS * 3),
];

/// Fails if the stub was not called as expected: the other checks would be meaningless.
pub(super) fn holds(truth: &Truth) -> Result<()> {
    for (name, known) in KNOWN {
        let found = truth.get(*name).copied();
        ensure!(
            found == Some(*known),
            "the stub says {name} {found:?}, and it should be {known}"
        );
    }
    Ok(())
}
