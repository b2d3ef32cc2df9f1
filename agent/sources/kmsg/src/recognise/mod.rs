//! Which lines of the kernel's log are faults of an accelerator.
//!
//! A text is recognised from its first byte on, in the form in which its driver writes it: names of processes and devices that
//! others choose stand behind that, or in lines of other drivers. Each form has its source beside it.

mod aer;
mod gpu;
mod npu;
mod nvidia;
mod report;
mod resets;

pub(crate) use self::report::{Reported, Reports};
pub(crate) use self::resets::Resets;

use crate::fault::{Fault, Kind, Place};
use crate::pci::Pci;
use crate::record::Record;

/// A line of which it is known that it tells a fault, but not which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fault that a record tells, if it tells one.
pub(crate) fn recognise<'a>(record: &Record<'a>) -> Result<Option<Fault<'a>>, Malformed> {
    let text = record.text;
    if let Some(rest) = text.strip_prefix("NVRM: ") {
        return nvidia::driver(rest);
    }
    if let Some(rest) = text.strip_prefix("nvidia-nvswitch") {
        return nvidia::switch(rest);
    }
    if let Some(fault) = gpu::without_device(text) {
        return Ok(Some(fault));
    }
    let Some(line) = Line::parse(text) else {
        return Ok(None);
    };
    let kind = aer::kind(line.rest).or_else(|| match line.driver {
        "amdgpu" => gpu::amd(line.rest),
        "i915" => gpu::i915(line.rest),
        "xe" => gpu::xe(line.rest),
        "hailo" | "hailo1x" => npu::hailo(line.rest),
        "habanalabs" | "accel" => npu::gaudi(line.rest),
        "tenstorrent" => npu::tenstorrent(line.rest),
        _ => None,
    });
    let fault = kind.and_then(|kind| line.fault(kind));
    let fault = fault.map(|fault| Fault {
        step: match line.driver {
            "amdgpu" => gpu::step(line.rest),
            "xe" => gpu::xe_step(line.rest),
            _ => None,
        },
        ..fault
    });
    // The kernel's own word for the device of a message: it is another one's only if the text was made up.
    Ok(fault.filter(|fault| agrees(fault.place, record.device)))
}

fn agrees(place: Place<'_>, device: Option<&str>) -> bool {
    match (place, device.and_then(|device| device.strip_prefix("+pci:"))) {
        (Place::Pci(pci), Some(device)) => Pci::parse(device) == Some(pci),
        _ => true,
    }
}

/// A message about a device: `<driver> <device>: <rest>` (`dev_printk_emit`, drivers/base/core.c).
#[derive(Debug)]
struct Line<'a> {
    driver: &'a str,
    device: &'a str,
    rest: &'a str,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (driver, rest) = text.split_once(' ')?;
        let (device, rest) = rest.split_once(": ")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'.');
        let is_short = driver.len() <= 64 && !device.is_empty() && device.len() <= 64;
        (is_short && device.bytes().all(is_name)).then_some(Self { driver, device, rest })
    }

    fn fault(&self, kind: Kind) -> Option<Fault<'a>> {
        let place = match (Pci::parse(self.device), self.driver) {
            (Some(pci), _) => Place::Pci(pci),
            (None, "accel") if is_numbered(self.device, "accel") => Place::Class("accel", self.device),
            (None, "habanalabs") if is_numbered(self.device, "hl") => Place::Class("habanalabs", self.device),
            (None, _) => return None,
        };
        Some(Fault::new(kind, place))
    }
}

fn is_numbered(device: &str, name: &str) -> bool {
    device
        .strip_prefix(name)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
