//! Addresses of PCI functions, in the forms in which drivers write them.

use std::fmt;

/// Address of a PCI function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pci {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl Pci {
    /// From `0000:3b:00.0`, or `0000:3b:00`, where the function is 0. The domain may have up to eight digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (domain, rest) = text.split_once(':')?;
        let (bus, rest) = rest.split_once(':')?;
        let (device, function) = rest.split_once('.').unwrap_or((rest, "0"));
        let hex = |text: &str, least: usize, most: usize| {
            let is_hex = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(text, 16).ok()).flatten()
        };
        let (device, function) = (hex(device, 2, 2)?, hex(function, 1, 1)?);
        (device < 32 && function < 8).then_some(Self {
            domain: hex(domain, 4, 8)?,
            bus: u8::try_from(hex(bus, 2, 2)?).ok()?,
            device: u8::try_from(device).ok()?,
            function: u8::try_from(function).ok()?,
        })
    }
}

impl fmt::Display for Pci {
    /// As sysfs names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            domain,
            bus,
            device,
            function,
        } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_function_has_one_address_however_it_is_written() {
        let written = |text| Pci::parse(text).map(|pci| pci.to_string());
        for text in ["0000:3b:00.0", "0000:3B:00", "00000000:3B:00.0"] {
            assert_eq!(written(text).as_deref(), Some("0000:3b:00.0"), "{text}");
        }
        assert_eq!(written("0019:01:00").as_deref(), Some("0019:01:00.0"));
        for text in [
            "",
            "3b:00.0",
            "0000:3b",
            "0000:3b:20.0",
            "0000:3b:00.8",
            "0000:+b:00.0",
            "00000000f:3b:00.0",
            "0000:3b:00.0 ",
        ] {
            assert_eq!(written(text), None, "{text}");
        }
    }
}
