//! Decoder of monitor files.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use accelscope_proto::hailo::ProtoMon;

/// Largest monitor file that is read. A process with 100 networks of 20 streams each writes about 200 KiB.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// Most networks, streams and devices of one file, all together. Checked before anything is allocated for them: on the
/// wire an empty one takes two bytes, in memory it takes fifty.
pub(super) const MAX_ELEMENTS: usize = 4096;

/// Why a file has no values (yet).
#[derive(Debug, thiserror::Error)]
pub(super) enum NotYet {
    /// Truncated by its writer, which has not written yet, or found it locked (HailoRT up to 4.21).
    #[error("empty: its writer has not written yet")]
    Empty,
    /// Protobuf takes a prefix that ends between two fields for a whole message; every writer sets the pid.
    #[error("without a process id: its writer has not finished, or it is no monitor file")]
    NoPid,
    /// Half-written or no protobuf.
    #[error("cut off in the middle of a field, or no monitor file")]
    CutOff,
    /// A field that does not match `scheduler_mon.proto`.
    #[error("not as scheduler_mon.proto of HailoRT 4.10 to 5.3 has it: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// More than [`MAX_ELEMENTS`].
    #[error("too large: it has {0} networks, streams and devices, more than the {MAX_ELEMENTS} that are read")]
    TooMany(usize),
}

impl NotYet {
    /// Value of the attribute `agent.reason`; `None` where it happens in every write.
    pub(super) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Empty | Self::NoPid | Self::CutOff => None,
            Self::Malformed(_) => Some("malformed"),
            Self::TooMany(_) => Some("too_many_elements"),
        }
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<ProtoMon, NotYet> {
    if bytes.is_empty() {
        return Err(NotYet::Empty);
    }
    let elements = count(bytes, Some(NET_FRAMES_INFOS)).ok_or(NotYet::CutOff)?;
    if elements > MAX_ELEMENTS {
        return Err(NotYet::TooMany(elements));
    }
    let message = ProtoMon::decode(bytes)?;
    if message.pid.is_empty() {
        return Err(NotYet::NoPid);
    }
    Ok(message)
}

/// Field number of `ProtoMon.net_frames_infos`, with nested repeated elements.
const NET_FRAMES_INFOS: u32 = 3;

/// Number of elements, with those in the elements of the field `nested`; `None` if the message is cut off.
fn count(mut rest: &[u8], nested: Option<u32>) -> Option<usize> {
    let mut elements = 0;
    while !rest.is_empty() {
        let (field, wire) = decode_key(&mut rest).ok()?;
        if wire != WireType::LengthDelimited {
            skip_field(wire, field, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        let (inner, after) = rest.split_at_checked(length)?;
        rest = after;
        elements += 1;
        if nested == Some(field) {
            elements += count(inner, None)?;
        }
    }
    Some(elements)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use accelscope_proto::hailo::{ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames, ProtoMonStreamFramesInfo};

    /// Serialized by `libprotobuf` 3.20: one network, a phantom, two streams and a device.
    const VECTOR: &str = "0a0434323432121b0a07796f6c6f76387311b81e85eb51f83d40190000000000c04740120911ffffffffffff\
        ef7f1a620a07796f6c6f76387312390a14796f6c6f7638732f696e7075745f6c61796572311804200128ffffffffffffffffff0130ffffff\
        ffffffffffff0139000000000000f0bf121c0a0b796f6c6f7638732f6f757410011804300239000000000000e03f22200a0c303030313a30\
        313a30302e30110000000000c047401a074841494c4f384c";

    pub(crate) fn vector() -> Vec<u8> {
        let digits: Vec<u8> = VECTOR.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn reads_what_libprotobuf_wrote() {
        let message = decode(&vector()).unwrap();
        assert_eq!(message.pid, "4242");
        assert_eq!(message.networks_infos[0].network_name, "yolov8s");
        assert_eq!(message.networks_infos[1].fps.to_bits(), f64::MAX.to_bits());
        let streams = &message.net_frames_infos[0].streams_frames_infos;
        assert_eq!(
            (streams[0].min_pending_frames_count, streams[0].avg_pending_frames_count),
            (-1, -1.0)
        );
        assert_eq!(streams[1].stream_direction, 1);
        assert_eq!(message.device_infos[0].device_arch, "HAILO8L");
    }

    #[test]
    fn every_prefix_is_either_refused_or_a_message_with_a_pid() {
        let whole = vector();
        for length in 0..whole.len() {
            if let Ok(message) = decode(&whole[..length]) {
                assert_eq!(message.pid, "4242", "at {length}");
            }
        }
        assert!(matches!(decode(&[]), Err(NotYet::Empty)));
        assert!(matches!(decode(&whole[..50]), Err(NotYet::CutOff)));
    }

    #[test]
    fn fields_of_a_later_version_are_skipped() {
        let mut bytes = vector();
        bytes.extend([0xaa, 0x06, 3, 1, 2, 3, 0xb0, 0x06, 1]);
        assert_eq!(decode(&bytes).unwrap().device_infos.len(), 1);
    }

    #[test]
    fn the_versions_before_the_device_list_are_read() {
        let message = ProtoMon {
            pid: "7".into(),
            networks_infos: vec![ProtoMonInfo {
                network_name: "a".into(),
                fps: 2.0,
                utilization: 3.0,
            }],
            ..ProtoMon::default()
        };
        assert_eq!(decode(&message.encode_to_vec()).unwrap(), message);
    }

    #[test]
    fn a_flood_of_empty_elements_is_refused_before_it_takes_memory() {
        let mut bytes = b"\x0a\x017".to_vec();
        bytes.extend([0x12, 0].repeat(1 << 20));
        assert!(matches!(decode(&bytes), Err(NotYet::TooMany(n)) if n > 1 << 20));

        let nested = ProtoMon {
            pid: "7".into(),
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: String::new(),
                streams_frames_infos: vec![ProtoMonStreamFramesInfo::default(); MAX_ELEMENTS],
            }],
            device_infos: vec![ProtoMonDeviceInfo::default()],
            ..ProtoMon::default()
        };
        assert!(matches!(decode(&nested.encode_to_vec()), Err(NotYet::TooMany(_))));
    }

    #[test]
    fn a_name_that_is_no_text_is_malformed_and_no_panic() {
        let error = decode(b"\x0a\x017\x12\x03\x0a\x01\xff").unwrap_err();
        assert_eq!(error.reason(), Some("malformed"));
    }
}
