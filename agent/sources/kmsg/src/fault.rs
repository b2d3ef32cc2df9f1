//! What a line of the log can tell: a kind of fault, its code, and the device.

use crate::pci::Pci;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Xid,
    Sxid,
    DeviceLost,
    Hang,
    Timeout,
    Reset,
    ResetFailed,
    InitFailed,
    Poison,
    HeartbeatLost,
    Firmware,
    AerCorrected,
    AerNonfatal,
    AerFatal,
    AerUnrecovered,
}

impl Kind {
    /// Those that every PCI function may have.
    pub(crate) const OF_PCI: [Self; 4] = [
        Self::AerCorrected,
        Self::AerNonfatal,
        Self::AerFatal,
        Self::AerUnrecovered,
    ];

    /// Its value of `error.type`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Xid => accelscope_core::faults::XID,
            Self::Sxid => "sxid",
            Self::DeviceLost => "device_lost",
            Self::Hang => "hang",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::ResetFailed => "reset_failed",
            Self::InitFailed => "init_failed",
            Self::Poison => "poison",
            Self::HeartbeatLost => "heartbeat_lost",
            Self::Firmware => "firmware",
            Self::AerCorrected => "aer_corrected",
            Self::AerNonfatal => "aer_nonfatal",
            Self::AerFatal => "aer_fatal",
            Self::AerUnrecovered => "aer_unrecovered",
        }
    }

    /// Those that the lines of a driver tell; they are counted from 0.
    pub(crate) const fn of_driver(driver: &str) -> &'static [Self] {
        match driver.as_bytes() {
            b"nvidia" => &[Self::DeviceLost, Self::InitFailed],
            b"amdgpu" => &[
                Self::Timeout,
                Self::Reset,
                Self::ResetFailed,
                Self::Poison,
                Self::DeviceLost,
            ],
            b"i915" => &[Self::Hang, Self::Reset, Self::Timeout, Self::DeviceLost],
            b"xe" => &[Self::Timeout, Self::Reset, Self::ResetFailed, Self::DeviceLost],
            b"hailo" | b"hailo1x" => &[Self::Firmware, Self::DeviceLost],
            b"habanalabs" => &[Self::HeartbeatLost, Self::Reset, Self::DeviceLost],
            b"tenstorrent" => &[Self::DeviceLost, Self::Firmware],
            _ => &[],
        }
    }

    /// XIDs that are counted from 0: those that NVML's source counts so.
    pub(crate) const XIDS: [i64; 16] = [13, 31, 43, 45, 48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140];
    /// SXids that are counted from 0: those that public logs have most, and those after which a link or switch is unusable.
    pub(crate) const SXIDS: [i64; 7] = [11001, 12028, 19084, 20009, 20034, 24007, 28006];

    /// Whether that code of it is counted from 0.
    pub(crate) fn begins_at_0(self, code: i64) -> bool {
        match self {
            Self::Xid => Self::XIDS.contains(&code),
            Self::Sxid => Self::SXIDS.contains(&code),
            _ => false,
        }
    }
}

/// The device as a line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A PCI function.
    Pci(Pci),
    /// The device of a class, e.g. `accel0`.
    Class(&'static str, &'a str),
    /// Only the driver, e.g. `amdgpu`.
    Driver(&'static str),
}

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault<'a> {
    pub(crate) kind: Kind,
    /// Of XIDs and SXids; [`OTHER`](accelscope_core::faults::OTHER) if it is beyond all codes.
    pub(crate) code: Option<i64>,
    pub(crate) place: Place<'a>,
    /// The process at fault of an XID, where the line tells it.
    pub(crate) process: Option<u32>,
    /// Which of the lines about one reset, or one loss of the device, it is.
    pub(crate) step: Option<Step>,
}

impl<'a> Fault<'a> {
    pub(crate) const fn new(kind: Kind, place: Place<'a>) -> Self {
        Self {
            kind,
            code: None,
            place,
            process: None,
            step: None,
        }
    }
}

/// A line about a reset or a loss, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Begun,
    HardwareFailed,
    Failed,
    Ended,
    DeclaredWedged,
    Wedged,
}
