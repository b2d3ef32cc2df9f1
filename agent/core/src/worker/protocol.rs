//! The messages between the agent and a worker: a 32-bit little-endian length, then that many bytes of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::metric::{Histogram, Owner, Point, ProcessKey, Timestamp, Value};

/// Limit of a message in bytes. Longer ones are refused before they are read.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Limit of the readings of one reply.
pub(super) const MAX_POINTS: usize = 20_000;

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
    /// Requests a new process in place of this one, with this configuration ([`WorkerConfig`](super::WorkerConfig)).
    /// For vendor code that only a new process can recover, and that may prevent even the end of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// Why it requests one; counted in `agent.worker.restarts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_reason: Option<RenewalReason>,
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
            renewal_reason: None,
            successor: None,
        }
    }
}

/// Why a worker requests a new process in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenewalReason {
    /// A call did not return.
    Hung,
    /// The library's initialisation did not return.
    StartHung,
    /// The library could not be initialised.
    StartFailed,
    /// The thread that calls the library ended.
    Panicked,
    /// The driver was unloaded or replaced: no call can succeed in this process.
    DriverReplaced,
    /// No device answers this process.
    Silent,
    /// Another reason.
    Other,
}

impl RenewalReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Hung,
        Self::StartHung,
        Self::StartFailed,
        Self::Panicked,
        Self::DriverReplaced,
        Self::Silent,
        Self::Other,
    ];

    /// Value of the attribute `agent.reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hung => "hung",
            Self::StartHung => "start_hung",
            Self::StartFailed => "start_failed",
            Self::Panicked => "panicked",
            Self::DriverReplaced => "driver_replaced",
            Self::Silent => "silent",
            Self::Other => "other",
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
    pub owner: Option<ProcessKey>,
    /// Time in nanoseconds since the Unix epoch.
    pub time: Timestamp,
    /// Start of a cumulative value.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// The value: a number, or the sum and the buckets of a cumulative histogram.
    #[serde(deserialize_with = "value")]
    pub value: Value,
}

fn in_place<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, RawValue>>, D::Error> {
    Ok(Option::<&'a RawValue>::deserialize(from)?.map(Cow::Borrowed))
}

/// Deserialization of a value: trying each kind of number in turn would allocate an error for each fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadValue {
    Number(serde_json::Number),
    Histogram { sum: f64, buckets: Box<[u64]> },
}

fn value<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    Ok(match ReadValue::deserialize(from)? {
        ReadValue::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Double(number.as_f64().unwrap_or(f64::NAN)), Value::Int),
        ReadValue::Histogram { sum, buckets } => Value::Histogram(Arc::new(Histogram {
            count: buckets.iter().fold(0, |sum: u64, bucket| sum.saturating_add(*bucket)),
            sum,
            buckets,
        })),
    })
}

impl WirePoint<'static> {
    /// The reading on the wire.
    pub fn of(point: &Point) -> Self {
        Self {
            name: point.instrument.name.into(),
            // Text, numbers and booleans can always be serialized.
            attributes: to_raw_value(&*point.attributes).ok().map(Cow::Owned),
            // A worker reports processes as owners only.
            owner: point.owner.as_ref().and_then(|owner| match owner {
                Owner::Process { process, .. } => Some(*process),
                Owner::Cgroup(_) | Owner::Within(_) | Owner::Outermost(_) => None,
            }),
            time: point.time,
            start: point.start,
            value: point.value.clone(),
        }
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

/// Length of the body of the first message in `received`, if it is complete.
pub(super) fn body(received: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some((header, rest)) = received.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = length(*header)?;
    Ok((rest.len() >= length).then_some(length))
}

/// The reply to the request `asked`, from the body of a message.
pub(super) fn reply(body: &[u8], asked: u64) -> Result<Reply<'_>, ProtocolError> {
    let reply: Reply<'_> = serde_json::from_slice(body)?;
    if reply.id == asked {
        Ok(reply)
    } else {
        let answered = reply.id;
        Err(ProtocolError::WrongRequest { answered, asked })
    }
}

fn length(header: [u8; 4]) -> Result<usize, ProtocolError> {
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(ProtocolError::TooLong(length));
    }
    Ok(length)
}

/// Reads one whole message, for the worker's side; `None` at the end of input.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut body = vec![0; length(header).map_err(io::Error::other)?];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}
