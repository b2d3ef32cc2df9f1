//! What an answer means for the records that were sent.
//!
//! OTLP specification 1.11, "OTLP/gRPC Response", "OTLP/HTTP Response", "Throttling". It says to drop on everything
//! that is not retryable; where the answer speaks of our configuration and not of the data, the records are held
//! instead: an expired token must not cost the day's data.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Largest response that is read, the limit that the OTLP specification asks of a client.
pub(super) const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// What to do with the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They arrived, but for `rejected` of their points.
    Accepted { rejected: u64 },
    /// Try again, no sooner than the server asked.
    Retry { asked: Option<Duration> },
    /// Nothing will be taken until a person changes something.
    Hold { reason: &'static str, remedy: &'static str },
    /// These records will never be taken; smaller pieces of them perhaps, if `split`.
    Drop { reason: &'static str, split: bool },
}

/// A verdict and how it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// What the server or the network said, for people.
    pub(super) said: String,
    /// Whether the connection is of no more use.
    pub(super) reconnect: bool,
}

impl Answer {
    pub(super) fn new(verdict: Verdict, said: impl AsRef<str>) -> Self {
        Self {
            verdict,
            said: printable(said.as_ref()),
            reconnect: false,
        }
    }

    /// The network failed, or the server vanished; whether the records arrived is unknown.
    pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            reconnect: true,
            ..Self::new(Verdict::Retry { asked: None }, chain(error))
        }
    }

    /// No answer in time.
    pub(super) fn timed_out(after: Duration) -> Self {
        let said = format!("no answer within {}", humantime::format_duration(after));
        Self {
            reconnect: true,
            ..Self::new(Verdict::Retry { asked: None }, said)
        }
    }

    /// The answer is larger than we read. The server has acted on the request, so nothing is sent again.
    pub(super) fn too_large() -> Self {
        let verdict = Verdict::Drop {
            reason: "response_too_large",
            split: false,
        };
        Self {
            reconnect: true,
            ..Self::new(verdict, "the answer exceeds 4 MiB; is the endpoint an OTLP receiver?")
        }
    }
}

/// What to do about a failure of the network or of the connection's first bytes, by what rustls 0.23, h2 0.4 and hyper 1
/// call it: each of them names what it saw, and none what the user has mixed up.
pub(super) fn remedy_of_retry(said: &str) -> &'static str {
    const TOLD: [(&str, &str); 5] = [
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
    TOLD.iter()
        .find_map(|(sign, remedy)| said.contains(sign).then_some(*remedy))
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

/// From a gRPC status other than OK.
pub(super) fn grpc(status: &Status) -> Answer {
    // A status with a cause was made here, out of a broken connection, and is no answer of the server.
    if let Some(cause) = std::error::Error::source(status) {
        return Answer::unreachable(cause);
    }
    let said = format!("{:?}: {}", status.code(), status.message());
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let drop = |reason| Verdict::Drop { reason, split: true };
    let verdict = match status.code() {
        Code::OutOfRange if status.message().starts_with("Error, decoded message length too large") => {
            return Answer::too_large();
        }
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Verdict::Retry { asked },
        Code::ResourceExhausted if asked.is_some() => Verdict::Retry { asked },
        Code::Unauthenticated => Verdict::Hold {
            reason: "unauthenticated",
            remedy: CREDENTIALS,
        },
        Code::PermissionDenied => Verdict::Hold {
            reason: "permission_denied",
            remedy: CREDENTIALS,
        },
        Code::Unimplemented => Verdict::Hold {
            reason: "unimplemented",
            remedy: WRONG_SERVICE,
        },
        Code::ResourceExhausted => drop("resource_exhausted"),
        Code::InvalidArgument => drop("invalid_argument"),
        Code::NotFound => drop("not_found"),
        Code::AlreadyExists => drop("already_exists"),
        Code::FailedPrecondition => drop("failed_precondition"),
        Code::Internal => drop("internal"),
        Code::Unknown | Code::Ok => drop("unknown"),
    };
    Answer::new(verdict, said)
}

/// From an HTTP answer.
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: Bytes) -> Answer {
    let drop = |reason| Verdict::Drop { reason, split: true };
    let verdict = match status.as_u16() {
        200..=299 if is(headers, "text/html") => Verdict::Hold {
            reason: "not_otlp",
            remedy: "a web page answered: check the endpoint's host, port and path",
        },
        200..=299 if is(headers, "application/x-protobuf") => return accepted(body),
        200..=299 => return Answer::new(Verdict::Accepted { rejected: 0 }, ""),
        429 | 502 | 503 | 504 => Verdict::Retry {
            asked: retry_after(headers, SystemTime::now()),
        },
        401 => Verdict::Hold {
            reason: "http_401",
            remedy: CREDENTIALS,
        },
        403 => Verdict::Hold {
            reason: "http_403",
            remedy: CREDENTIALS,
        },
        404 => Verdict::Hold {
            reason: "http_404",
            remedy: WRONG_PATH,
        },
        300..=399 => Verdict::Hold {
            reason: "redirect",
            remedy: "set the endpoint to the address that it redirects to",
        },
        400 => drop("http_400"),
        413 => drop("http_413"),
        500 => drop("http_500"),
        402..=499 => drop("http_4xx"),
        _ => drop("http_5xx"),
    };
    let location = headers
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
        .unwrap_or_default();
    Answer::new(verdict, format!("{status} {location}{}", message(headers, &body)))
}

/// From the body of an answer that is a success. A body that is no OTLP is forgiven: the status has been said.
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

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3); a date that has passed asks for nothing.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
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

/// The message of an error's body: a `google.rpc.Status` by the specification, plain text in practice.
fn message(headers: &HeaderMap, body: &Bytes) -> String {
    if is(headers, "application/x-protobuf")
        && let Ok(status) = tonic_types::pb::Status::decode(body.clone())
    {
        return status.message;
    }
    String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned()
}

/// An error with all its causes on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What a stranger said, fit for a log: one line, no control characters, at most 300 characters.
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
