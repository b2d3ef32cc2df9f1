//! The messages between the agent and a worker: a 32-bit little-endian length, then that many bytes of JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::metric::{AttributeValue, Owner, Point, Value};

/// Longest message in bytes. What is longer is refused before it is read.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// What the agent asks: one run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// To be repeated in the reply.
    pub(super) id: u64,
}

/// What a worker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// How the run ended.
    pub outcome: WireOutcome,
    /// Why, where it is not `sampled`.
    #[serde(default)]
    pub reason: String,
    /// The readings: all that there is. A part of the reply before that is missing here has ended.
    #[serde(default)]
    pub parts: Vec<WirePart>,
    /// How many readings gave no point, by reason (`agent.sampler.skipped`).
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// Asks to be replaced now, by a process that has this as the first variable of its command's environment. For
    /// vendor code that only a new process can recover, and that may not even let this one be killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<String>,
    /// The same for the process after this one, should this one end without having asked for it: what it told must not
    /// be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
}

impl Reply {
    /// One without readings, and why.
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

/// Longest [`Reply::renewal`] and [`Reply::successor`] in bytes; the kernel's limit for one variable is 128 KiB.
pub(super) const MAX_RENEWAL_BYTES: usize = 64 << 10;

/// A [`Reply`] as the agent reads it: in place, since most of it is the same each time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer<'a> {
    pub(super) id: u64,
    pub(super) outcome: WireOutcome,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default, borrow)]
    pub(super) parts: Vec<AnswerPart<'a>>,
    #[serde(default)]
    pub(super) skipped: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) renewal: Option<String>,
    #[serde(default)]
    pub(super) successor: Option<String>,
}

/// A [`WirePart`], in place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerPart<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) points: Vec<AnswerPoint<'a>>,
}

/// A [`WirePoint`], in place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerPoint<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    /// As they are written: whoever knows the text need not take it apart.
    #[serde(default, borrow)]
    pub(super) attributes: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) owner: Option<WireOwner>,
    pub(super) time: u64,
    #[serde(default)]
    pub(super) start: Option<u64>,
    pub(super) value: WireValue,
}

/// [`Outcome`](crate::sampler::Outcome) on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireOutcome {
    /// There were readings.
    Sampled,
    /// No such hardware.
    NothingHere,
    /// Could not be read now.
    Retry,
    /// Will not come back.
    Gone,
}

/// One device or file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePart {
    /// Its name; empty for a sampler that reads all at once.
    pub name: String,
    /// Everything that is now true of it.
    pub points: Vec<WirePoint>,
}

/// One reading.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WirePoint {
    /// The instrument's.
    pub name: String,
    /// Its attributes: text, whole numbers or truth values.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<WireOwner>,
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// For cumulative values.
    #[serde(default)]
    pub start: Option<u64>,
    /// The value.
    pub value: WireValue,
}

/// A process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireOwner {
    /// In the node's PID namespace.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`.
    pub start_ticks: u64,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, from = "Told")]
pub enum WireValue {
    /// A whole number.
    Int(i64),
    /// A fraction.
    Double(f64),
    /// A cumulative histogram; the bounds are its instrument's.
    Histogram {
        /// Of all observations.
        sum: f64,
        /// Observations by bucket.
        buckets: Box<[u64]>,
    },
}

/// [`WireValue`] as it is read: to try each kind of number would make and drop an error for each fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Number(serde_json::Number),
    Histogram { sum: f64, buckets: Box<[u64]> },
}

impl From<Told> for WireValue {
    fn from(told: Told) -> Self {
        match told {
            Told::Number(number) => number
                .as_i64()
                .map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int),
            Told::Histogram { sum, buckets } => Self::Histogram { sum, buckets },
        }
    }
}

impl WirePoint {
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
        let attributes = point.attributes.iter().map(|(key, value)| {
            let value = match value {
                AttributeValue::Str(text) => serde_json::Value::from(&**text),
                AttributeValue::Int(number) => (*number).into(),
                AttributeValue::Bool(truth) => (*truth).into(),
            };
            ((*key).to_owned(), value)
        });
        Self {
            name: point.instrument.name.to_owned(),
            attributes: attributes.collect(),
            // A worker knows processes only.
            owner: point.owner.as_ref().and_then(|owner| match owner {
                Owner::Process { process, .. } => Some(WireOwner {
                    pid: process.pid,
                    start_ticks: process.start_ticks,
                }),
                Owner::Cgroup(_) => None,
            }),
            time: point.time.unix_nanos(),
            start: point.start.map(crate::metric::Timestamp::unix_nanos),
            value,
        }
    }
}

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("a message of {0} bytes, more than the {MAX_FRAME_BYTES} allowed")]
    TooLong(usize),
    /// Not a message of this protocol.
    #[error("a message that is none of ours: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An answer to something that was not asked.
    #[error("an answer to request {answered} while {asked} was asked")]
    WrongRequest {
        /// What it answered.
        answered: u64,
        /// What was asked.
        asked: u64,
    },
}

/// A message with its length in front.
pub(super) fn frame(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Whether the answer is to the request that was asked.
pub(super) const fn check(asked: u64, answered: u64) -> Result<(), ProtocolError> {
    if asked == answered {
        Ok(())
    } else {
        Err(ProtocolError::WrongRequest { answered, asked })
    }
}

/// Length of the body of the message at the front of `received`, once it is all there.
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
