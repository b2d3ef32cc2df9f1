//! Meaning of a response for the points that were sent.
//!
//! OTLP specification 1.11, "OTLP/gRPC Response", "OTLP/HTTP Response", "Throttling". The specification drops the data on
//! every response that is not retryable. Here only what speaks of the data costs data:
//!
//! - where the fault is in the configuration, the points are *held*: an expired token must not cost the day's data;
//! - where the fault is the receiver's (500, INTERNAL), or the data's (400), the sender drops only the smallest piece that was
//!   refused twice, with a pause in between ([`Sizing`](super::sizing::Sizing));
//! - where there is no answer, or one that holds the points, the sender drops a single point that goes on failing while others
//!   pass (`sender/doubt.rs`).

mod cause;
mod grpc;
mod http;
mod success;

use std::borrow::Cow;
use std::time::Duration;

use accelscope_core::chain;

use super::destination::{Compression, Destination, Protocol};
use super::sizing::Fault;

pub(super) use cause::Cause;
pub(super) use grpc::{
    PREFIX as GRPC_PREFIX, answered as grpc_answered, message_length as grpc_message_length,
    no_message as grpc_no_message, status as grpc_status, too_large as grpc_too_large, unreadable as grpc_unreadable,
    without_status as grpc_without_status,
};
pub(super) use http::{answered as http_answered, not_grpc};
pub(super) use success::too_large as http_too_large;

/// Largest response that is read, the limit that the OTLP specification asks of a client.
pub(super) const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a response that are read as text.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Reasons for which refused points are dropped.
pub(super) const DROPS: [&str; 12] = [
    "already_exists",
    "failed_precondition",
    "http_400",
    "http_413",
    "http_4xx",
    "http_500",
    "http_5xx",
    "internal",
    "invalid_argument",
    "resource_exhausted",
    "response_too_large",
    "unknown",
];

/// What to do with the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They arrived, except `rejected` of them.
    Accepted { rejected: u64 },
    /// Send them again, not before `retry_after`.
    Retry { retry_after: Option<Duration> },
    /// The destination accepts nothing until the configuration or the credentials change.
    Hold,
    /// The request is larger than the receiver takes.
    TooLarge,
    /// The receiver refuses this request.
    Refused(Fault),
    /// The receiver has processed them, with a result that cannot be known.
    Lost,
}

/// What was asked of whom, as far as a remedy depends on it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) protocol: Protocol,
    pub(super) compression: Compression,
    /// Whether the endpoint's path is that of Prometheus' OTLP receiver.
    pub(super) is_prometheus: bool,
}

impl Asked {
    pub(super) fn of(destination: &Destination) -> Self {
        Self {
            protocol: destination.protocol,
            compression: destination.compression,
            is_prometheus: destination.endpoint.path().ends_with("/api/v1/otlp/v1/metrics"),
        }
    }
}

/// A verdict with its explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) cause: Cause,
    /// Message of the server, or description of the network's error.
    pub(super) message: String,
    /// Whether the connection cannot be used again.
    pub(super) reconnect: bool,
    /// Whether the request may have been too much for the link: a smaller one may pass.
    pub(super) is_slow: bool,
}

impl Answer {
    pub(super) fn new(verdict: Verdict, message: impl AsRef<str>) -> Self {
        Self {
            verdict,
            cause: cause::OTHER,
            message: one_line(message.as_ref()),
            reconnect: false,
            is_slow: false,
        }
    }

    pub(super) fn because(self, reason: &'static str, remedy: &'static str) -> Self {
        Self {
            cause: Cause { reason, remedy },
            ..self
        }
    }

    fn broken(cause: Cause, message: impl AsRef<str>) -> Self {
        Self {
            cause,
            reconnect: true,
            ..Self::new(Verdict::Retry { retry_after: None }, message)
        }
    }

    /// There was no connection.
    pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = chain(error);
        Self::broken(Cause::of(&message), message)
    }

    /// The connection ended; whether the points arrived is unknown. What ends connections may be a limit of their time.
    pub(super) fn interrupted(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            is_slow: true,
            ..Self::unreachable(error)
        }
    }

    /// No response within the destination's timeout.
    pub(super) fn timed_out(after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self {
            is_slow: true,
            ..Self::broken(cause::TIMEOUT, format!("no answer within {after}"))
        }
    }

    /// No connection on which the request could be sent within the destination's timeout: name resolution, TCP, a proxy or TLS
    /// did not come to an end.
    pub(super) fn not_connected(after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self::broken(cause::CONNECT_TIMEOUT, format!("no connection within {after}"))
    }

    /// The response cannot be parsed by the library that reads it.
    pub(super) fn unreadable() -> Self {
        Self::broken(cause::OTHER, "the answer could not be read; is it an OTLP receiver?")
    }

    /// The response to a request that was processed exceeds [`MAX_RESPONSE_BYTES`]: nothing is sent again.
    pub(super) fn too_large() -> Self {
        Self {
            reconnect: true,
            ..Self::new(
                Verdict::Lost,
                "the answer exceeds 4 MiB; is the endpoint an OTLP receiver?",
            )
            .because("response_too_large", "check host, port and path of the endpoint")
        }
    }
}

/// At most 300 characters of a message, for a log.
pub(super) fn shortened(line: String) -> String {
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The text of a body, for a message. Longer than what is shown of it, so that a secret in it is recognised before it is cut.
fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&body[..body.len().min(MAX_TEXT_BYTES)])
}

/// A remote message as one line without control characters. The log and the doctor escape what else is not printable.
fn one_line(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
