//! Records of `/dev/kmsg`, by `Documentation/ABI/testing/dev-kmsg` of Linux 6.18:
//! `<priority>,<sequence>,<microseconds>,<flags>[,…];<text>\n KEY=value\n…`, where bytes that do not print are written `\xNN`.

/// Facility of the kernel itself. A record that a process has written never has it (`devkmsg_write`, kernel/printk/printk.c).
const KERNEL: u32 = 0;
/// Bits of the level in a priority.
const LEVEL_BITS: u32 = 3;

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Each record has the next one.
    pub(crate) sequence: u64,
    /// Microseconds since boot, by the clock of printk.
    pub(crate) micros: u64,
    /// Whether the kernel has written it, as a whole message: not a piece of one, which may begin with anything.
    pub(crate) is_kernels: bool,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    pub(crate) text: &'a str,
    /// The device of a message about one, e.g. `+pci:0000:3b:00.0`. Only the kernel can give it.
    pub(crate) device: Option<&'a str>,
}

/// The header, and what is behind it. `None` if it is no record.
pub(crate) fn header(bytes: &[u8]) -> Option<(Header, &[u8])> {
    /// A header has four short numbers.
    const MOST: usize = 128;
    let end = bytes.iter().take(MOST).position(|byte| *byte == b';')?;
    let mut fields = std::str::from_utf8(&bytes[..end]).ok()?.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let header = Header {
        sequence: fields.next()?.parse().ok()?,
        micros: fields.next()?.parse().ok()?,
        is_kernels: priority >> LEVEL_BITS == KERNEL && fields.next()? == "-",
    };
    Some((header, &bytes[end + 1..]))
}

/// The record of that header. `None` if it is not text.
pub(crate) fn record(header: Header, rest: &[u8]) -> Option<Record<'_>> {
    let rest = std::str::from_utf8(rest).ok()?;
    let (text, dictionary) = rest.split_once('\n').unwrap_or((rest, ""));
    let device = dictionary.lines().find_map(|line| line.strip_prefix(" DEVICE="));
    Some(Record { header, text, device })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Option<Record<'_>> {
        let (header, rest) = header(bytes)?;
        record(header, rest)
    }

    #[test]
    fn a_record_of_a_device_has_text_and_device() {
        let bytes =
            b"6,12,3401,-,caller=T1;amdgpu 0000:03:00.0: ready; go\n SUBSYSTEM=pci\n DEVICE=+pci:0000:03:00.0\n";
        let record = parse(bytes).unwrap();
        assert_eq!(record.text, "amdgpu 0000:03:00.0: ready; go");
        assert_eq!(record.device, Some("+pci:0000:03:00.0"));
        assert_eq!((record.header.sequence, record.header.micros), (12, 3401));
        assert!(record.header.is_kernels);
    }

    #[test]
    fn what_a_process_wrote_and_pieces_of_messages_are_not_the_kernels() {
        for (bytes, expected) in [
            (&b"3,1,2,-;x\n"[..], true),
            (b"11,1,2,-;x\n", false),
            (b"30,1,2,-;x\n", false),
            (b"4294967288,1,2,-;x\n", false),
            (b"3,1,2,c;x\n", false),
            (b"3,1,2,+;x\n", false),
        ] {
            assert_eq!(header(bytes).unwrap().0.is_kernels, expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for bytes in [
            &b""[..],
            b"3,1,2,-",
            b";x",
            b"3,1;x",
            b"a,1,2,-;x",
            b"3,1,2;x",
            b"-3,1,2,-;x",
            b"3,1,99999999999999999999,-;x",
        ] {
            assert_eq!(header(bytes), None, "{bytes:?}");
        }
        assert_eq!(parse(b"3,1,2,-;\xff\xfe\n"), None);
        let long = [&b"3,1,2,"[..], &[b'-'; 9000], b";x"].concat();
        assert_eq!(header(&long), None);
    }
}
