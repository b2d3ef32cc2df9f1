//! Events that the programs report through the ring buffer.

use agent_ebpf::{EVENT_CGROUP, EVENT_KEY, EVENT_OWNER};

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A key was created; the process should be identified while it runs.
    Key {
        /// Number of its record.
        record: u32,
        /// Process (`tgid` in the initial namespace) that created it by its call.
        pid: u32,
    },
    /// A control group was created.
    Cgroup {
        /// Its kernfs id.
        id: u64,
        /// Id of its hierarchy as in `/proc/<pid>/cgroup`; 0 is the unified one.
        hierarchy: u32,
        /// Its path from the root of the hierarchy: untrusted, any bytes but zero.
        path: &'a [u8],
    },
    /// A process has requested exclusive use of a device.
    Owner {
        /// Process (`tgid` in the initial namespace).
        pid: u32,
        /// Number of the watched device.
        device: u32,
        /// Number of the caller's record.
        record: u32,
        /// Whether another process uses the device, so that this one was refused.
        busy: bool,
    },
}

impl<'a> Event<'a> {
    /// Parses an entry of the ring buffer; nothing if its kind is unknown or it is too short.
    pub fn parse(entry: &'a [u8]) -> Option<Self> {
        let mut words = Words(entry);
        let (kind, pid) = (words.u32()?, words.u32()?);
        match kind {
            EVENT_KEY => Some(Self::Key {
                record: words.u32()?,
                pid,
            }),
            EVENT_CGROUP => {
                let (id, hierarchy, length) = (words.u64()?, words.u32()?, words.u32()?);
                let path = words.0.get(..length as usize)?;
                let path = path.split(|byte| *byte == 0).next()?;
                (!path.is_empty()).then_some(Self::Cgroup { id, hierarchy, path })
            }
            EVENT_OWNER => Some(Self::Owner {
                pid,
                device: words.u32()?,
                record: words.u32()?,
                busy: words.u32()? != 0,
            }),
            _ => None,
        }
    }
}

struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_ne_bytes(*word))
    }

    fn u64(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn each_kind_is_read_as_the_programs_write_it() {
        assert_eq!(
            Event::parse(&bytes(&[EVENT_KEY, 7, 42, 0])),
            Some(Event::Key { record: 42, pid: 7 })
        );
        assert_eq!(
            Event::parse(&bytes(&[EVENT_OWNER, 7, 3, 42, 1, 0])),
            Some(Event::Owner {
                pid: 7,
                device: 3,
                record: 42,
                busy: true
            })
        );
        let mut made = bytes(&[EVENT_CGROUP, 7]);
        made.extend(99_u64.to_ne_bytes());
        made.extend(bytes(&[5, 6]));
        made.extend(b"/a/b/\0after");
        assert_eq!(
            Event::parse(&made),
            Some(Event::Cgroup {
                id: 99,
                hierarchy: 5,
                path: b"/a/b/"
            })
        );
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_left_out() {
        let key = bytes(&[EVENT_KEY, 7, 42]);
        for length in 0..key.len() {
            assert_eq!(Event::parse(&key[..length]), None);
        }
        assert_eq!(Event::parse(&bytes(&[77, 7, 42])), None);
        let mut endless = bytes(&[EVENT_CGROUP, 7, 0, 0, 5, u32::MAX]);
        endless.extend(b"/a\0");
        assert_eq!(Event::parse(&endless), None, "its length is beyond its end");
    }
}
