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
    /// A control group was created, or renamed (cgroup v1).
    Cgroup {
        /// Its kernfs id.
        id: u64,
        /// Id of its hierarchy as in `/proc/<pid>/cgroup`; 0 is the unified one.
        hierarchy: u32,
        /// Its path from the root of the hierarchy: untrusted, any bytes but zero. Nothing where the programs could not
        /// report all of it.
        path: Option<&'a [u8]>,
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
                // A path without its end would be that of an outer group.
                let (end, path) = match words.0.get(..length as usize)? {
                    [path @ .., end] => (*end, path),
                    [] => {
                        return Some(Self::Cgroup {
                            id,
                            hierarchy,
                            path: None,
                        });
                    }
                };
                let path = Some(path).filter(|path| end == 0 && !path.is_empty() && !path.contains(&0));
                Some(Self::Cgroup { id, hierarchy, path })
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
        made.extend(bytes(&[5, 5]));
        made.extend(b"/a/b\0after");
        assert_eq!(
            Event::parse(&made),
            Some(Event::Cgroup {
                id: 99,
                hierarchy: 5,
                path: Some(b"/a/b")
            })
        );
    }

    #[test]
    fn a_path_without_its_end_is_no_path() {
        let long = [b"/a".repeat(255).as_slice(), b"\0"].concat();
        // All of it, cut by the programs, cut anywhere, and with an end in the middle.
        let cases: [(&[u8], Option<&[u8]>); 6] = [
            (&long, Some(&long[..510])),
            (b"", None),
            (b"\0", None),
            (b"/a/b", None),
            ("/p\u{e4}".as_bytes().split_last().unwrap().1, None),
            (b"/a\0b\0", None),
        ];
        for (path, expected) in cases {
            let mut made = bytes(&[EVENT_CGROUP, 7, 99, 0, 5, path.len() as u32]);
            made.extend(path);
            made.extend(b"behind it\0");
            let Some(Event::Cgroup { id: 99, path, .. }) = Event::parse(&made) else {
                panic!("the group is known by its id");
            };
            assert_eq!(path, expected);
        }
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
