//! The messages between the agent and a worker: a 32-bit little-endian length, then that many bytes of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::metric::{AttributeValue, Attributes, Owner, Point, Timestamp, Value};

/// Limit of a message in bytes. Longer ones are refused before they are read.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Limit of [`Reply::renewal`] and [`Reply::successor`] in bytes; the kernel's limit for one variable is 128 KiB.
pub(super) const MAX_RENEWAL_BYTES: usize = 64 << 10;

/// Request of the agent for one run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Id, repeated in the reply.
    pub(super) id: u64,
}

/// A worker's reply. The agent parses it in place, since most of it is the same each time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply<'a> {
    /// Id of the request.
    pub id: u64,
    /// Result of the run.
    pub outcome: WireOutcome,
    /// The reason if it is not `sampled`, otherwise what is missing from the readings, if anything.
    #[serde(default)]
    pub reason: String,
    /// All current readings. A part of the previous reply that is missing here has ended.
    #[serde(default, borrow)]
    pub parts: Vec<WirePart<'a>>,
    /// Number of readings without a point, by reason (`agent.sampler.skipped`).
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// Requests a new process in place of this one, with this value of the first variable of its command's environment.
    /// For vendor code that only a new process can recover, and that may prevent even the end of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// The same value for the next process, in case this one ends without a request for renewal: state that must not be
    /// lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

impl Reply<'_> {
    /// A reply without readings, with the reason.
    pub const fn empty(id: u64, outcome: WireOutcome, reason: String) -> Self {
        Self {
            id,
            outcome,
            reason,
            parts: Vec::new(),
            skipped: BTreeMap::new(),
            renewal: None,
            successor: None,
        }
    }
}

/// [`Outcome`](crate::sampler::Outcome) on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireOutcome {
    /// There are readings.
    Sampled,
    /// No such hardware.
    NothingHere,
    /// Could not be read now.
    Retry,
    /// Will not come back.
    Gone,
}

/// Readings of one device or file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePart<'a> {
    /// Name of the part; empty for a sampler with a single part.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// All its current values.
    #[serde(borrow)]
    pub points: Vec<WirePoint<'a>>,
}

/// One reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePoint<'a> {
    /// Name of its instrument.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Its attributes, an object of texts, whole numbers and booleans. As JSON text: the agent parses each text once.
    #[serde(default, borrow, deserialize_with = "in_place")]
    pub attributes: Option<Cow<'a, RawValue>>,
    /// The process that it describes.
    #[serde(default)]
    pub owner: Option<WireOwner>,
    /// Time in nanoseconds since the Unix epoch.
    pub time: u64,
    /// Start of a cumulative value.
    #[serde(default)]
    pub start: Option<u64>,
    /// The value.
    pub value: WireValue,
}

fn in_place<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    Ok(Option::<&'a RawValue>::deserialize(from)?.map(Cow::Borrowed))
}

/// A process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireOwner {
    /// Id in the node's PID namespace.
    pub pid: u32,
    /// Start time: field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, from = "ReadValue")]
pub enum WireValue {
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A cumulative histogram; the bounds are its instrument's.
    Histogram {
        /// Sum of all observations.
        sum: f64,
        /// Number of observations by bucket.
        buckets: Box<[u64]>,
    },
}

/// Deserialization of [`WireValue`]: trying each kind of number in turn would allocate an error for each fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadValue {
    Number(serde_json::Number),
    Histogram { sum: f64, buckets: Box<[u64]> },
}

impl From<ReadValue> for WireValue {
    fn from(value: ReadValue) -> Self {
        match value {
            ReadValue::Number(number) => number
                .as_i64()
                .map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int),
            ReadValue::Histogram { sum, buckets } => Self::Histogram { sum, buckets },
        }
    }
}

impl WirePoint<'static> {
    /// The reading on the wire.
    pub fn of(point: &Point) -> Self {
        let value = match &point.value {
            Value::Int(number) => WireValue::Int(*number),
            Value::Double(number) => WireValue::Double(*number),
            Value::Histogram(histogram) => WireValue::Histogram {
                sum: histogram.sum,
                buckets: histogram.buckets.clone(),
            },
        };
        Self {
            name: point.instrument.name.into(),
            // Text, numbers and booleans can always be serialized.
            attributes: to_raw_value(&WireAttributes(&point.attributes)).ok().map(Cow::Owned),
            // A worker reports processes as owners only.
            owner: point.owner.as_ref().and_then(|owner| match owner {
                Owner::Process { process, .. } => Some(WireOwner {
                    pid: process.pid,
                    start_ticks: process.start_ticks,
                }),
                Owner::Cgroup(_) => None,
            }),
            time: point.time.unix_nanos(),
            start: point.start.map(Timestamp::unix_nanos),
            value,
        }
    }
}

/// A set of attributes as a JSON object.
struct WireAttributes<'a>(&'a Attributes);

impl Serialize for WireAttributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            match value {
                AttributeValue::Str(text) => map.serialize_entry(key, &**text)?,
                AttributeValue::Int(number) => map.serialize_entry(key, number)?,
                AttributeValue::Bool(truth) => map.serialize_entry(key, truth)?,
            }
        }
        map.end()
    }
}

/// Reason why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("a message of {0} bytes, more than the {MAX_FRAME_BYTES} allowed")]
    TooLong(usize),
    /// Not a message of this protocol.
    #[error("a malformed message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A reply to another request.
    #[error("an answer to request {answered} while {asked} was asked")]
    WrongRequest {
        /// Id in the reply.
        answered: u64,
        /// Id of the request.
        asked: u64,
    },
}

/// A message, prefixed with its length.
pub(super) fn frame(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Whether the reply belongs to this request.
pub(super) const fn check(asked: u64, answered: u64) -> Result<(), ProtocolError> {
    if asked == answered {
        Ok(())
    } else {
        Err(ProtocolError::WrongRequest { answered, asked })
    }
}

/// Length of the body of the first message in `received`, if it is complete.
pub(super) fn body(received: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some((header, rest)) = received.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*header) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(ProtocolError::TooLong(length));
    }
    Ok((rest.len() >= length).then_some(length))
}

/// Reads one whole message, for the worker's side; `None` at the end of input.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            ProtocolError::TooLong(length),
        ));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}
