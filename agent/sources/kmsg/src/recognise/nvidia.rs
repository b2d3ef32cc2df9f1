//! NVIDIA's driver, which names the device in the text alone (open-gpu-kernel-modules 580).

use accelscope_core::faults::OTHER;

use super::Malformed;
use crate::fault::{Fault, Kind, Place};
use crate::pci::Pci;

/// Behind `NVRM: `.
pub(super) fn driver(rest: &str) -> Result<Option<Fault<'_>>, Malformed> {
    if let Some(rest) = rest.strip_prefix("Xid (") {
        let (fault, text) = coded(rest, Kind::Xid)?;
        return Ok(Some(Fault {
            process: process(text),
            ..fault
        }));
    }
    let lost = || lost(rest).map(|pci| Fault::new(Kind::DeviceLost, Place::Pci(pci)));
    Ok(not_initialised(rest).or_else(lost))
}

/// `GPU 0000:3b:00.0: RmInitAdapter failed! (0x24:0x72:1568)`, in older drivers without the GPU (`RmInitAdapter`,
/// arch/nvalloc/unix/src/osinit.c). What it is about stands in lines of their own before it.
fn not_initialised(rest: &str) -> Option<Fault<'_>> {
    const FAILED: &str = "RmInitAdapter failed!";
    if rest.starts_with(FAILED) {
        return Some(Fault::new(Kind::InitFailed, Place::Driver("nvidia")));
    }
    let (address, rest) = rest.strip_prefix("GPU ")?.split_once(": ")?;
    let pci = Pci::parse(address)?;
    rest.starts_with(FAILED)
        .then(|| Fault::new(Kind::InitFailed, Place::Pci(pci)))
}

/// Behind `nvidia-nvswitch`: `3: SXid (PCI:0000:c1:00.0): 24007, Fatal, Link 12 …` (`NVSWITCH_PRINT_SXID`,
/// src/common/nvswitch/kernel/inc/error_nvswitch.h).
pub(super) fn switch(rest: &str) -> Result<Option<Fault<'_>>, Malformed> {
    let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let Some(rest) = rest.strip_prefix(": SXid (") else {
        return Ok(None);
    };
    coded(rest, Kind::Sxid).map(|(fault, text)| is_event(text).then_some(fault))
}

/// Whether the text behind an SXid tells an event, and not what belongs to the one that another line tells.
fn is_event(text: &str) -> bool {
    let more = [
        // `_nvswitch_dump_error_entry`, src/common/nvswitch/kernel/error_nvswitch.c: two or three lines.
        "Severity ",
        "Data {",
        // `_flcnDbgInfoCaptureRiscvPcTrace_LS10`, flcn/flcn_ls10.c: the trace of a controller that has halted.
        "SOE HALT data[",
        // `nvswitch_therm_soe_callback_lr10` and `_ls10`: the next line tells what follows from it.
        "NVSWITCH Temperature ",
    ];
    !more.iter().any(|begin| text.starts_with(begin))
}

/// `PCI:0000:3b:00 GPU-I:05): 94, pid=…`; before driver 340 without `PCI:`, in a MIG instance with its id (`nvErrorLog`,
/// src/nvidia/src/kernel/diagnostics/journal.c). Returns what stands behind the code, too.
fn coded(rest: &str, kind: Kind) -> Result<(Fault<'_>, &str), Malformed> {
    let (place, rest) = rest.split_once("): ").ok_or(Malformed)?;
    let address = place.strip_prefix("PCI:").unwrap_or(place);
    let address = address.split(' ').next().unwrap_or(address);
    let pci = Pci::parse(address).ok_or(Malformed)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    // Behind the code is a comma, or nothing.
    if digits == 0 || !matches!(rest.as_bytes().get(digits), None | Some(b',' | b' ')) {
        return Err(Malformed);
    }
    let code = rest[..digits].parse::<u32>().map_or(OTHER, i64::from);
    let fault = Fault {
        code: Some(code),
        ..Fault::new(kind, Place::Pci(pci))
    };
    let text = rest[digits..].trim_start_matches([',', ' ']);
    Ok((fault, text))
}

/// Of `pid=7194, name=…`; `pid='<unknown>'` tells none.
fn process(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("pid=")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// The GPU that a line says to have fallen off the bus, in each of the driver's words for it.
fn lost(rest: &str) -> Option<Pci> {
    // 340 and newer: `GPU 0000:09:00.0: GPU has fallen off the bus.` (`osHandleGpuLost`, arch/nvalloc/unix/src/osinit.c).
    if let Some(rest) = rest.strip_prefix("GPU ")
        && let Some((address, "GPU has fallen off the bus.")) = rest.split_once(": ")
    {
        return Pci::parse(address);
    }
    // 331: `GPU at 0000:01:00.0 has fallen off the bus.`
    if let Some(rest) = rest.strip_prefix("GPU at ") {
        return Pci::parse(rest.strip_suffix(" has fallen off the bus.")?);
    }
    // When it is found so as the driver is loaded, in three lines of one message: `The NVIDIA GPU 0000:b3:00.0\x0aNVRM: …
    // fallen off the bus and is not responding to commands.` (kernel-open/nvidia/nv-pci.c).
    let rest = rest.strip_prefix("The NVIDIA GPU ")?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.')))?;
    rest.contains("fallen off the bus and is not responding")
        .then(|| Pci::parse(&rest[..end]))
        .flatten()
}
