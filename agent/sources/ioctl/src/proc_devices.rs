//! Major numbers of the drivers (`/proc/devices`).

use std::collections::HashMap;
use std::io;

use accelscope_core::host::HostRoots;

/// A host with hundreds of drivers has 10 KiB.
const MOST_BYTES: usize = 1 << 20;

/// Names of the drivers of character devices by major number. Several may share one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Majors(HashMap<u32, Vec<String>>);

impl Majors {
    pub(super) fn read(roots: &HostRoots) -> io::Result<Self> {
        let bytes = roots.read("/proc/devices", MOST_BYTES)?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    fn parse(text: &str) -> Self {
        let mut majors = HashMap::<u32, Vec<String>>::new();
        let lines = text.lines().skip_while(|line| !line.starts_with("Character"));
        for line in lines.take_while(|line| !line.starts_with("Block")) {
            if let Some((major, name)) = line.trim().split_once(' ')
                && let Ok(major) = major.parse()
            {
                majors.entry(major).or_default().push(name.trim().to_owned());
            }
        }
        Self(majors)
    }

    /// The drivers of a major number.
    pub(super) fn drivers(&self, major: u32) -> &[String] {
        self.0.get(&major).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_devices_alone_count_and_a_number_may_be_shared() {
        let text = "Character devices:\n  1 mem\n195 acme\n195 acme-modeset\n195 acmectl\n511 npu\n\n\
                    Block devices:\n  1 ramdisk\n511 virtblk\n";
        let majors = Majors::parse(text);
        assert_eq!(majors.drivers(1), ["mem"]);
        assert_eq!(majors.drivers(195), ["acme", "acme-modeset", "acmectl"]);
        assert_eq!(majors.drivers(511), ["npu"]);
        assert!(majors.drivers(2).is_empty());
    }

    #[test]
    fn this_machines_own_list_is_read() {
        let majors = Majors::read(&HostRoots::new("/")).unwrap();
        assert!(majors.drivers(1).contains(&"mem".to_owned()));
    }
}
