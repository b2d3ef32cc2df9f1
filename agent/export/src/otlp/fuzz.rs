//! What holds of any response that a receiver may send.

use std::future::Ready;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Collected;
use serde_json::json;
use tonic::body::Body;
use tower::Service;

use super::classify::{Answer, Asked, DROPS, Verdict, http_answered, shortened};
use super::destination::{Compression, Protocol};
use super::grpc;
use super::unary::{Failure, is_grpc, success, whole};
use crate::backoff::{Backoff, MAX_RETRY_AFTER, RetryPolicy};

/// Bits of the input's first byte.
const GRPC: u8 = 1;
const GZIP: u8 = 2;
const PROMETHEUS: u8 = 4;
/// The body gets the five bytes before it that a message of gRPC has.
const FRAMED: u8 = 8;

/// Reads `bytes` as a response and interprets it: a byte with what was asked, the status, a line `name: value` for each header
/// and `>name: value` for each trailer, an empty line, and the body.
///
/// # Panics
///
/// If a property does not hold.
pub fn otlp_response(bytes: &[u8]) {
    let Some(given) = Given::read(bytes) else { return };
    let (head, trailers) = (given.head.clone(), given.trailers.clone());
    let answer = match given.asked.protocol {
        Protocol::Grpc => over_grpc(&given),
        Protocol::HttpProtobuf => http_answered(head.status, &head.headers, &given.body, &given.asked),
    };
    the_answer_is_fit_for_people(&answer);
    only_what_is_counted_is_dropped(&answer);
    match (answer.verdict, given.asked.protocol) {
        (Verdict::Accepted { rejected }, Protocol::HttpProtobuf) => {
            assert!(head.status.is_success() && i64::try_from(rejected).is_ok());
            json_says_the_same(&given.asked, rejected);
        }
        (Verdict::Accepted { rejected }, Protocol::Grpc) => {
            let status = |headers: &HeaderMap| headers.get("grpc-status").cloned();
            let status = status(&head.headers).or_else(|| trailers.as_ref().and_then(status));
            assert!(is_grpc(&head.headers) && status.is_some_and(|status| status == "0"));
            assert!(i64::try_from(rejected).is_ok());
        }
        (Verdict::Lost, Protocol::HttpProtobuf) => panic!("nothing of HTTP is lost but what is too long"),
        (Verdict::Retry { retry_after }, _) => {
            let wait = Backoff::new(RetryPolicy::default()).next(retry_after);
            assert!(wait <= MAX_RETRY_AFTER + Duration::from_secs(1));
        }
        _ => {}
    }
}

/// A response, and what was asked.
struct Given {
    asked: Asked,
    head: Parts,
    trailers: Option<HeaderMap>,
    body: Bytes,
}

impl Given {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let is = |flag: u8| flags & flag != 0;
        let end = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
        let body = rest.get(end + 2..).unwrap_or_default();
        let mut lines = rest[..end].split(|byte| *byte == b'\n');
        let mut head = Response::new(()).into_parts().0;
        head.status = StatusCode::from_bytes(lines.next()?).ok()?;
        let mut trailers = None;
        for line in lines {
            let (line, to) = match line.strip_prefix(b">") {
                Some(line) => (line, trailers.get_or_insert_with(HeaderMap::new)),
                None => (line, &mut head.headers),
            };
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                to.append(name, value);
            }
        }
        let frame = [&[0], &u32::try_from(body.len()).ok()?.to_be_bytes()[..], body].concat();
        Some(Self {
            asked: Asked {
                protocol: if is(GRPC) {
                    Protocol::Grpc
                } else {
                    Protocol::HttpProtobuf
                },
                compression: if is(GZIP) { Compression::Gzip } else { Compression::None },
                is_prometheus: is(PROMETHEUS),
            },
            head,
            trailers,
            body: if is(FRAMED) {
                frame.into()
            } else {
                Bytes::copy_from_slice(body)
            },
        })
    }
}

/// A connection that gives this response to the first request.
struct Answering(Option<Result<Response<Collected<Bytes>>, Failure>>);

impl Service<Request<Body>> for Answering {
    type Response = Response<Collected<Bytes>>;
    type Error = Failure;
    type Future = Ready<Result<Self::Response, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::ready(self.0.take().unwrap_or(Err(Failure::NoMessage)))
    }
}

fn over_grpc(given: &Given) -> Answer {
    let exchanged = async {
        let (head, body) = (given.head.clone(), given.body.clone());
        let response = if is_grpc(&head.headers) {
            success(head, whole(body, given.trailers.clone()).await).await
        } else {
            let (status, headers) = (head.status, head.headers);
            Err(Failure::NotGrpc { status, headers, body })
        };
        let service = Answering(Some(response));
        let endpoint = Uri::from_static("http://localhost:4317");
        grpc::exchange(service, endpoint, HeaderMap::new(), Vec::new(), &given.asked).await
    };
    let Some(answer) = exchanged.now_or_never() else {
        panic!("a whole response is waited for")
    };
    answer
}

fn the_answer_is_fit_for_people(answer: &Answer) {
    assert!(!answer.message.contains(char::is_control));
    let line = shortened(answer.message.clone());
    assert!(line.chars().count() <= 301 && answer.message.starts_with(line.trim_end_matches('…')));
    let is_accepted = matches!(answer.verdict, Verdict::Accepted { .. });
    assert!(is_accepted || !(answer.cause.reason.is_empty() || answer.cause.remedy.is_empty()));
}

fn only_what_is_counted_is_dropped(answer: &Answer) {
    let may_drop = matches!(answer.verdict, Verdict::Refused(_) | Verdict::TooLarge | Verdict::Lost);
    assert!(!may_drop || DROPS.contains(&answer.cause.reason), "{answer:?}");
    let is_retried = matches!(answer.verdict, Verdict::Retry { .. });
    assert!(!answer.is_slow || is_retried, "{answer:?}");
}

fn json_says_the_same(asked: &Asked, rejected: u64) {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let body = json!({"partialSuccess": {"rejectedDataPoints": rejected.to_string()}}).to_string();
    let answer = http_answered(StatusCode::OK, &headers, &body.into(), asked);
    assert_eq!(answer.verdict, Verdict::Accepted { rejected });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_hold_of_each_kind_of_response() {
        for response in [
            "0200\n\n",
            "0200\ncontent-type: application/json\n\n{\"partialSuccess\":{\"rejectedDataPoints\":3}}",
            "6404\nlocation: /\n\nnot here\u{1b}[2J\n",
            "2503\nretry-after: 99999999999999999999\n\n",
            "2503\nretry-after: 18446744073709551615\n\n",
            "1502\ncontent-type: text/html\n\n<html>",
            "9200\ncontent-type: application/grpc\n>grpc-status: 0\n\n",
            "9200\ncontent-type: application/grpc\n>grpc-status: 8\n>grpc-message: larger%20than%20max\n\n",
            "1200\ncontent-type: application/grpc\ngrpc-status: 13\n\n",
            "",
            "1",
        ] {
            otlp_response(response.as_bytes());
        }
    }

    #[test]
    fn details_that_are_no_base64_cost_no_status() {
        for (prefix, code) in [("", 3), (">", 3), ("", 16), (">", 16), (">", 0)] {
            let text = format!(
                "9200\ncontent-type: application/grpc\n{prefix}grpc-status: {code}\n{prefix}grpc-status-details-bin: !\n\n"
            );
            let given = Given::read(text.as_bytes()).unwrap();
            let expected = match code {
                3 => "invalid_argument",
                16 => "unauthenticated",
                _ => "network",
            };
            let answer = over_grpc(&given);
            assert_eq!(answer.cause.reason, expected, "{text}");
            assert_eq!(matches!(answer.verdict, Verdict::Accepted { .. }), code == 0, "{text}");
        }
    }
}
