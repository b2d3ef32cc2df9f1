//! Hailo, Gaudi and Tenstorrent. No text of the drivers of Ascend, FuriosaAI and Rebellions is known that names the device by an
//! address: of these the errors of PCI Express count alone.

use crate::fault::Kind;

/// Behind `hailo 0000:01:00.0: ` (hailort-drivers 4.21 to 5.2).
pub(super) fn hailo(rest: &str) -> Option<Kind> {
    let begins: [(&str, Kind); 6] = [
        // linux/pcie/src/nnc.c: the firmware does not answer.
        ("hailo_fw_control, timeout waiting for control", Kind::Firmware),
        ("hailo_nnc_driver_down, timeout waiting for shutdown", Kind::Firmware),
        ("Failed writing fw control to pcie", Kind::Firmware),
        ("Failed reading fw control from pcie", Kind::Firmware),
        // linux/pcie/src/pcie.c
        ("Firmware load failed", Kind::Firmware),
        (
            "Probing: Failed reading device BARs, device may be disconnected",
            Kind::DeviceLost,
        ),
    ];
    begins
        .iter()
        .find(|(begin, _)| rest.starts_with(begin))
        .map(|(_, kind)| *kind)
}

/// Behind `habanalabs hl0: `, since Linux 6.8 `accel accel0: ` (drivers/accel/habanalabs/common/device.c).
pub(super) fn gaudi(rest: &str) -> Option<Kind> {
    if rest.starts_with("Device heartbeat failed!") {
        return Some(Kind::HeartbeatLost);
    }
    if matches!(rest, "Going to reset device" | "Going to RESET device!") {
        return Some(Kind::Reset);
    }
    let is_lost = rest.starts_with("Failed to initialize ") && rest.ends_with(" Device is NOT usable !");
    is_lost.then_some(Kind::DeviceLost)
}

/// Behind `tenstorrent 0000:01:00.0: ` (tt-kmd 1.29 to 2.11).
pub(super) fn tenstorrent(rest: &str) -> Option<Kind> {
    let begins: [(&str, Kind); 3] = [
        // wormhole.c, blackhole.c
        ("Device is unresponsive, cannot reset", Kind::DeviceLost),
        ("Watchdog is disabled and device is unresponsive", Kind::DeviceLost),
        // chardev.c: the management firmware does not take the message.
        ("Failed to set initial power state: ", Kind::Firmware),
    ];
    begins
        .iter()
        .find(|(begin, _)| rest.starts_with(begin))
        .map(|(_, kind)| *kind)
}
