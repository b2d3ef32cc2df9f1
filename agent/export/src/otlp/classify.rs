//! Meaning of a response for the records that were sent.
//!
//! OTLP specification 1.11, "OTLP/gRPC Response", "OTLP/HTTP Response", "Throttling". The specification drops the data on
//! every response that is not retryable; where the fault is in the configuration and not in the data, the records are
//! held instead: an expired token must not cost the day's data.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use accelscope_core::chain;

use crate::backoff::retry_after;

/// Largest response that is read, the limit that the OTLP specification asks of a client.
pub(super) const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// What to do with the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They arrived, except `rejected` of their points.
    Accepted { rejected: u64 },
    /// Send them again, not before `retry_after`.
    Retry { retry_after: Option<Duration> },
    /// The destination accepts nothing until the configuration or the credentials change.
    Hold { reason: &'static str, remedy: &'static str },
    /// These records will never be accepted; smaller pieces of them possibly, if `split`.
    Drop { reason: &'static str, split: bool },
}

impl Verdict {
    const RETRY: Self = Self::Retry { retry_after: None };

    pub(super) const fn hold(reason: &'static str, remedy: &'static str) -> Self {
        Self::Hold { reason, remedy }
    }

    const fn drop(reason: &'static str) -> Self {
        Self::Drop { reason, split: true }
    }
}

/// A verdict with its explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Message of the server, or description of the network's error.
    pub(super) message: String,
    /// Whether the connection cannot be used again.
    pub(super) reconnect: bool,
}

impl Answer {
    pub(super) fn new(verdict: Verdict, message: impl AsRef<str>) -> Self {
        Self {
            verdict,
            message: printable(message.as_ref()),
            reconnect: false,
        }
    }

    fn broken(verdict: Verdict, message: impl AsRef<str>) -> Self {
        Self {
            reconnect: true,
            ..Self::new(verdict, message)
        }
    }

    /// The network or the server failed; whether the records arrived is unknown.
    pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::broken(Verdict::RETRY, chain(error))
    }

    /// No response within the destination's timeout.
    pub(super) fn timed_out(after: Duration) -> Self {
        let after = humantime::format_duration(after);
        Self::broken(Verdict::RETRY, format!("no answer within {after}"))
    }

    /// The response cannot be parsed by the library that reads it.
    pub(super) fn unreadable() -> Self {
        Self::broken(Verdict::RETRY, "the answer could not be read; is it an OTLP receiver?")
    }

    /// The response exceeds [`MAX_RESPONSE_BYTES`]. The server has processed the request, so nothing is sent again.
    pub(super) fn too_large() -> Self {
        let verdict = Verdict::Drop {
            reason: "response_too_large",
            split: false,
        };
        Self::broken(verdict, "the answer exceeds 4 MiB; is the endpoint an OTLP receiver?")
    }
}

/// Remedy for an error of the connection, found by the words of rustls 0.23, h2 0.4 and hyper 1: these libraries name the
/// symptom, not the setting that is wrong.
pub(super) fn remedy_of_retry(message: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 6] = [
        // The message holds the remedy.
        ("the proxy http", "trying again"),
        (
            "InvalidContentType",
            "trying again; what listens there speaks no TLS: write http:// before the host, or set \
            the right port",
        ),
        (
            "frame with invalid size",
            "trying again; what listens there speaks no gRPC: set protocol = \"http/protobuf\" \
            for OTLP over HTTP, or the port of gRPC (mostly 4317)",
        ),
        (
            "invalid HTTP version",
            "trying again; what listens there speaks no HTTP/1.1: set protocol = \"grpc\", or the \
            port of OTLP over HTTP (mostly 4318)",
        ),
        (
            "UnknownIssuer",
            "trying again; name the certificate of the authority that signed the receiver's in ca_file",
        ),
        (
            "not valid for name",
            "trying again; write the host as the receiver's certificate has it",
        ),
    ];
    REMEDIES
        .iter()
        .find_map(|(symptom, remedy)| message.contains(symptom).then_some(*remedy))
        .unwrap_or(
            "trying again; check that the endpoint is up, and that port, protocol and http:// or https:// are those of \
             the receiver",
        )
}

const CREDENTIALS: &str =
    "check the destination's headers, or its headers_file, which is read again before each attempt";
const WRONG_PATH: &str = "check the endpoint's path: a Collector takes /v1/metrics, Prometheus /api/v1/otlp/v1/metrics";
const WRONG_SERVICE: &str = "no OTLP metrics service there: check host, port (gRPC mostly 4317, HTTP 4318), protocol and \
    that the receiver takes the compression";

/// Interprets a gRPC status other than OK.
pub(super) fn grpc(status: &Status) -> Answer {
    // tonic makes a status with a source from an error of the connection; the server did not send it.
    if let Some(cause) = std::error::Error::source(status) {
        return Answer::unreachable(cause);
    }
    let message = format!("{:?}: {}", status.code(), status.message());
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let verdict = match status.code() {
        Code::OutOfRange if status.message().starts_with("Error, decoded message length too large") => {
            return Answer::too_large();
        }
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Verdict::Retry { retry_after },
        Code::ResourceExhausted if retry_after.is_some() => Verdict::Retry { retry_after },
        Code::Unauthenticated => Verdict::hold("unauthenticated", CREDENTIALS),
        Code::PermissionDenied => Verdict::hold("permission_denied", CREDENTIALS),
        Code::Unimplemented => Verdict::hold("unimplemented", WRONG_SERVICE),
        Code::ResourceExhausted => Verdict::drop("resource_exhausted"),
        Code::InvalidArgument => Verdict::drop("invalid_argument"),
        Code::NotFound => Verdict::drop("not_found"),
        Code::AlreadyExists => Verdict::drop("already_exists"),
        Code::FailedPrecondition => Verdict::drop("failed_precondition"),
        Code::Internal => Verdict::drop("internal"),
        Code::Unknown | Code::Ok => Verdict::drop("unknown"),
    };
    Answer::new(verdict, message)
}

/// Interprets an HTTP response.
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Answer {
    let verdict = match status.as_u16() {
        200..=299 if is(headers, "text/html") => Verdict::Hold {
            reason: "not_otlp",
            remedy: "a web page answered: check the endpoint's host, port and path",
        },
        200..=299 if is(headers, "application/x-protobuf") => return accepted(body),
        200..=299 => return Answer::new(Verdict::Accepted { rejected: 0 }, ""),
        429 | 502 | 503 | 504 => Verdict::Retry {
            retry_after: retry_after(headers),
        },
        401 => Verdict::hold("http_401", CREDENTIALS),
        403 => Verdict::hold("http_403", CREDENTIALS),
        404 => Verdict::hold("http_404", WRONG_PATH),
        300..=399 => Verdict::hold("redirect", "set the endpoint to the address that it redirects to"),
        400 => Verdict::drop("http_400"),
        413 => Verdict::drop("http_413"),
        500 => Verdict::drop("http_500"),
        402..=499 => Verdict::drop("http_4xx"),
        _ => Verdict::drop("http_5xx"),
    };
    let location = headers
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
        .unwrap_or_default();
    Answer::new(verdict, format!("{status} {location}{}", message(headers, &body)))
}

/// Interprets the body of a successful response. A body that is not OTLP does not make it a failure: the status counts.
pub(super) fn accepted(body: Bytes) -> Answer {
    match ExportMetricsServiceResponse::decode(body) {
        Ok(response) => {
            let partial = response.partial_success.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_data_points).unwrap_or(0);
            Answer::new(Verdict::Accepted { rejected }, partial.error_message)
        }
        Err(error) => Answer::new(
            Verdict::Accepted { rejected: 0 },
            format!("success, but the answer is unreadable: {error}"),
        ),
    }
}

fn is(headers: &HeaderMap, media: &str) -> bool {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    given
        .split(';')
        .next()
        .is_some_and(|given| given.trim().eq_ignore_ascii_case(media))
}

/// Message in the body of an error: a `google.rpc.Status` by the specification, plain text in practice.
fn message(headers: &HeaderMap, body: &Bytes) -> String {
    if is(headers, "application/x-protobuf")
        && let Ok(status) = tonic_types::pb::Status::decode(body.clone())
    {
        return status.message;
    }
    String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned()
}

/// A remote message made safe for a log: one line, no control characters, at most 300 characters.
fn printable(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
