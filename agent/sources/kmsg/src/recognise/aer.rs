//! Errors of PCI Express as their device's own message tells them (drivers/pci/pcie/aer.c, err.c of Linux 3.10 to 6.18).
//!
//! The port that was told of an error has a line of its own before (`pcieport …: AER: Corrected error received: …`), which is
//! left out: the same error would count twice.

use crate::fault::Kind;

/// Behind the device: `AER: PCIe Bus Error: severity=Uncorrected (Fatal), type=…`; before Linux 4.20 without `AER: `, since 6.8
/// `Correctable` and `Uncorrectable`.
pub(super) fn kind(rest: &str) -> Option<Kind> {
    let rest = rest.strip_prefix("AER: ").unwrap_or(rest);
    // The driver of a device below a port in trouble cannot bring it back.
    if rest == "can't recover (no error_detected callback)" {
        return Some(Kind::AerUnrecovered);
    }
    let severity = rest.strip_prefix("PCIe Bus Error: severity=")?;
    let severity = severity.split(", ").next().unwrap_or(severity);
    match severity {
        "Corrected" | "Correctable" => Some(Kind::AerCorrected),
        "Uncorrected (Non-Fatal)" | "Uncorrectable (Non-Fatal)" => Some(Kind::AerNonfatal),
        "Uncorrected (Fatal)" | "Uncorrectable (Fatal)" => Some(Kind::AerFatal),
        _ => None,
    }
}
