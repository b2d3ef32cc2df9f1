//! Responses of gRPC.

use bytes::Bytes;
use http::StatusCode;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::super::destination::Compression;
use super::super::sizing::Fault;
use super::http::{DATA, NO_GZIP, RATE, RECEIVER, SIZE, WRONG_SERVICE};
use super::{Answer, Asked, Verdict, success};

const CREDENTIALS: &str =
    "check the destination's headers, or its headers_file, which is read again before each attempt";
const OVERLOADED: &str = "trying again; the receiver, or what it sends to, is overloaded or not ready: see its log";
const STRIPPED: &str = "trying again; a proxy on the way cut the answer or strips HTTP/2 trailers: let it pass gRPC on (nginx \
    grpc_pass), or set protocol = \"http/protobuf\"";

/// Interprets the message of a response whose status is OK.
pub(in crate::otlp) fn answered(body: &Bytes) -> Answer {
    success::protobuf(body)
}

/// Interprets a response whose status is OK and whose message tonic cannot take apart.
pub(in crate::otlp) fn unreadable(error: &Status) -> Answer {
    if error.code() == Code::OutOfRange && is_size(error.message()) {
        return Answer::too_large();
    }
    let message = format!("success, but the answer is unreadable: {}", error.message());
    Answer::new(Verdict::Hold, message).because("not_otlp", WRONG_SERVICE)
}

/// Interprets a response of gRPC that exceeds [`MAX_RESPONSE_BYTES`](super::MAX_RESPONSE_BYTES), by the first bytes of it: only
/// a message that is as long has been made by a receiver, which has processed the points.
pub(in crate::otlp) fn too_large(beginning: &[u8]) -> Answer {
    match message_length(beginning) {
        Some(length) if length > (super::MAX_RESPONSE_BYTES - PREFIX) as u64 => Answer::too_large(),
        _ => no_message(),
    }
}

/// Interprets a response whose status is OK and whose body is no message.
pub(in crate::otlp) fn no_message() -> Answer {
    Answer::new(Verdict::Hold, "success, but its body is no message of gRPC").because("not_otlp", WRONG_SERVICE)
}

/// Bytes before a message: whether it is compressed, and its length ("Length-Prefixed-Message" of gRPC over HTTP/2).
pub(in crate::otlp) const PREFIX: usize = 5;

/// Length of the message that begins here, as it says.
pub(in crate::otlp) fn message_length(body: &[u8]) -> Option<u64> {
    match body {
        [0 | 1, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d]).into()),
        _ => None,
    }
}

/// Interprets a response of gRPC without a status. Whether the points arrived is unknown.
pub(in crate::otlp) fn without_status(status: StatusCode) -> Answer {
    let verdict = Verdict::Retry { retry_after: None };
    Answer {
        reconnect: true,
        ..Answer::new(verdict, format!("{status}, and the answer ended without a gRPC status"))
            .because("no_grpc_status", STRIPPED)
    }
}

/// Interprets a status other than OK that the server sent.
pub(in crate::otlp) fn status(status: &Status, asked: &Asked) -> Answer {
    let said = status.message();
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let retry = Verdict::Retry { retry_after };
    let (data, receiver) = (Verdict::Refused(Fault::Data), Verdict::Refused(Fault::Receiver));
    let no_gzip = asked.compression == Compression::Gzip && (said.contains("compress") || said.contains("gzip"));
    let (verdict, reason, remedy) = match status.code() {
        Code::Cancelled => (retry, "cancelled", OVERLOADED),
        Code::DeadlineExceeded => (retry, "deadline_exceeded", OVERLOADED),
        Code::Aborted => (retry, "aborted", OVERLOADED),
        Code::Unavailable => (retry, "unavailable", OVERLOADED),
        Code::DataLoss => (retry, "data_loss", OVERLOADED),
        // tonic's servers.
        Code::OutOfRange if is_size(said) => (Verdict::TooLarge, "resource_exhausted", SIZE),
        Code::OutOfRange => (retry, "out_of_range", OVERLOADED),
        Code::ResourceExhausted if retry_after.is_some() => (retry, "resource_exhausted", RATE),
        Code::ResourceExhausted if is_size(said) => (Verdict::TooLarge, "resource_exhausted", SIZE),
        Code::ResourceExhausted => (receiver, "resource_exhausted", RATE),
        Code::Unauthenticated => (Verdict::Hold, "unauthenticated", CREDENTIALS),
        Code::PermissionDenied => (Verdict::Hold, "permission_denied", CREDENTIALS),
        Code::Unimplemented if no_gzip => (Verdict::Hold, "unimplemented", NO_GZIP),
        Code::Unimplemented => (Verdict::Hold, "unimplemented", WRONG_SERVICE),
        // As HTTP's 404: it speaks of the service or the tenant, not of the points.
        Code::NotFound => (Verdict::Hold, "not_found", WRONG_SERVICE),
        Code::InvalidArgument => (data, "invalid_argument", DATA),
        Code::AlreadyExists => (data, "already_exists", DATA),
        Code::FailedPrecondition => (receiver, "failed_precondition", RECEIVER),
        Code::Internal => (receiver, "internal", RECEIVER),
        Code::Unknown | Code::Ok => (receiver, "unknown", RECEIVER),
    };
    Answer {
        is_slow: status.code() == Code::DeadlineExceeded,
        ..Answer::new(verdict, format!("{:?}: {said}", status.code())).because(reason, remedy)
    }
}

/// Whether the message speaks of a message's size, by the words of grpc-go, grpc-java, gRPC C++, tonic and Envoy.
fn is_size(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "larger than max",
        "too large",
        "exceeds maximum size",
        "too big",
        "message size",
        "body size",
    ]
    .iter()
    .any(|words| message.contains(words))
}
