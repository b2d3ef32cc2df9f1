//! Responses of HTTP, of a receiver of OTLP/HTTP or of a proxy before a receiver of gRPC.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use prost::Message;

use super::super::destination::{Compression, Protocol};
use super::super::sizing::Fault;
use super::success::{self, is};
use super::{Answer, Asked, Verdict};
use crate::backoff::retry_after;

const CREDENTIALS: &str =
    "check the destination's headers, or its headers_file, which is read again before each attempt";
const RIGHTS: &str = "these credentials may not write metrics there: give them the right, or check the destination's headers \
    (token, tenant) and headers_file";
const WRONG_PATH: &str = "check the endpoint's host, port and path: a Collector takes /v1/metrics, Prometheus \
    /api/v1/otlp/v1/metrics";
const NO_RECEIVER: &str = "start Prometheus with --web.enable-otlp-receiver";
const NO_POST: &str = "what listens there takes no POST at that path: check the endpoint's host, port and path (a Collector \
    takes /v1/metrics, Prometheus /api/v1/otlp/v1/metrics)";
pub(super) const WRONG_SERVICE: &str = "no OTLP metrics service there: check host, port (gRPC mostly 4317, HTTP 4318), protocol \
    and that the receiver takes the compression";
pub(super) const NO_GZIP: &str = "the receiver may not take gzip: set compression = \"none\" for this destination";
const NO_PROTOBUF: &str = "the receiver takes no protobuf: check that it is an OTLP receiver, and the endpoint's path";
pub(super) const DATA: &str = "smaller requests follow, and what is refused twice is dropped; see the receiver's message and log. \
    If it refuses everything, try compression = \"none\"";
const USE_HTTPS: &str = "the port is one of TLS: write https:// in the endpoint, and set ca_file where its certificate is not of a public \
    authority";
const CLIENT_CERTIFICATE: &str =
    "the receiver, or a proxy before it, wants a client certificate: set cert_file and key_file";
const NOT_THE_DATA: &str =
    "the answer does not speak of the data: see its text, and check the endpoint's host, port and path";
const WEB_SERVER: &str =
    "a proxy or web server answered and no OTLP receiver: see its text, and check the endpoint's host, port and path";
pub(super) const RECEIVER: &str =
    "trying again; see the receiver's log. What it refuses twice is dropped, in pieces of one point";
pub(super) const RATE: &str = "trying again; the receiver limits what it takes: raise otlp.interval, switch off what is not needed, \
    or have the limit raised";
const OVERLOADED: &str = "trying again; the receiver, or what it sends to, is overloaded or not ready: see its log";
const GATEWAY: &str =
    "trying again; a proxy or gateway answered that does not reach the receiver: check the receiver behind it";
const GATEWAY_TIME: &str = "trying again with smaller requests; a proxy or gateway waited for the receiver in vain: check the receiver behind it";
pub(super) const SIZE: &str = "smaller requests follow; a larger limit there saves requests (nginx client_max_body_size, Collector \
    max_request_body_size or max_recv_msg_size_mib)";
const VERSION: &str = "what listens there wants another protocol or version: check port and protocol";

const REDIRECT: &str = "set the endpoint to the address that it redirects to";
const ACCOUNT: &str = "the account there has no plan or quota for this: see the receiver's message";
const PROXY_CREDENTIALS: &str = "a proxy on the way wants credentials: set them in the URL of the proxy";
const REQUEST_TIME: &str = "trying again with smaller requests; the receiver did not get the request in time";
const HEADERS: &str = "the destination's headers are too large for the receiver: shorten them";
const ROOM: &str = "trying again; the receiver has no room left: see its storage and log";
const LOGIN: &str = "the network wants a login before it lets requests through";

/// What a status means.
#[derive(Clone, Copy)]
enum Meaning {
    Retry,
    /// The same, and a smaller request may pass.
    Slow,
    Hold,
    TooLarge,
    Refused(Fault),
}

/// First and last status, meaning, reason, remedy.
type Row = (u16, u16, Meaning, &'static str, &'static str);

/// The first row counts that has the status. What a gateway or proxy says is no word of the receiver on the data, so that
/// more is retried and held than the OTLP specification asks for.
const STATUSES: [Row; 38] = [
    (300, 399, Meaning::Hold, "redirect", REDIRECT),
    (400, 400, Meaning::Refused(Fault::Data), "http_400", DATA),
    (401, 401, Meaning::Hold, "http_401", CREDENTIALS),
    (402, 402, Meaning::Hold, "http_402", ACCOUNT),
    (403, 403, Meaning::Hold, "http_403", RIGHTS),
    (404, 404, Meaning::Hold, "http_404", WRONG_PATH),
    (405, 405, Meaning::Hold, "http_405", NO_POST),
    (406, 406, Meaning::Hold, "http_406", NO_PROTOBUF),
    (407, 407, Meaning::Hold, "http_407", PROXY_CREDENTIALS),
    (408, 408, Meaning::Slow, "http_408", REQUEST_TIME),
    (410, 410, Meaning::Hold, "http_410", WRONG_PATH),
    (412, 412, Meaning::Hold, "http_412", WRONG_PATH),
    (413, 413, Meaning::TooLarge, "http_413", SIZE),
    (414, 414, Meaning::Hold, "http_414", WRONG_PATH),
    (415, 415, Meaning::Hold, "http_415", NO_PROTOBUF),
    (421, 421, Meaning::Hold, "http_421", WRONG_PATH),
    (423, 425, Meaning::Retry, "http_425", OVERLOADED),
    (426, 426, Meaning::Hold, "http_426", VERSION),
    (429, 429, Meaning::Retry, "http_429", RATE),
    (431, 431, Meaning::Hold, "http_431", HEADERS),
    (451, 451, Meaning::Hold, "http_451", RIGHTS),
    (499, 499, Meaning::Retry, "http_499", GATEWAY),
    (409, 409, Meaning::Refused(Fault::Data), "http_4xx", DATA),
    (422, 422, Meaning::Refused(Fault::Data), "http_4xx", DATA),
    (494, 494, Meaning::Hold, "http_431", HEADERS),
    (495, 496, Meaning::Hold, "http_4xx", CLIENT_CERTIFICATE),
    (497, 497, Meaning::Hold, "http_4xx", USE_HTTPS),
    (402, 499, Meaning::Hold, "http_4xx", NOT_THE_DATA),
    (500, 500, Meaning::Refused(Fault::Receiver), "http_500", RECEIVER),
    (501, 501, Meaning::Hold, "http_501", NO_POST),
    (502, 502, Meaning::Retry, "http_502", GATEWAY),
    (503, 503, Meaning::Retry, "http_503", OVERLOADED),
    (504, 504, Meaning::Slow, "http_504", GATEWAY_TIME),
    (505, 505, Meaning::Hold, "http_505", VERSION),
    (507, 509, Meaning::Retry, "http_507", ROOM),
    (511, 511, Meaning::Hold, "http_511", LOGIN),
    (520, 530, Meaning::Retry, "http_52x", GATEWAY),
    (598, 599, Meaning::Slow, "http_59x", GATEWAY_TIME),
];

/// Interprets the response of a receiver of OTLP over HTTP.
pub(in crate::otlp) fn answered(status: StatusCode, headers: &HeaderMap, body: &Bytes, asked: &Asked) -> Answer {
    if status.is_success() {
        success::answered(headers, body)
    } else {
        failed(status, headers, body, asked)
    }
}

/// Interprets a response that is no gRPC where a receiver of gRPC was asked: of a proxy, or of another server. Its status means
/// what it means over HTTP, as in gRPC's "HTTP to gRPC Status Code Mapping".
pub(in crate::otlp) fn not_grpc(status: StatusCode, headers: &HeaderMap, body: &Bytes, asked: &Asked) -> Answer {
    if status.is_success() {
        let said = text(headers, body);
        Answer::new(Verdict::Hold, format!("{status} without gRPC: {said}")).because("not_otlp", WRONG_SERVICE)
    } else {
        failed(status, headers, body, asked)
    }
}

fn failed(status: StatusCode, headers: &HeaderMap, body: &Bytes, asked: &Asked) -> Answer {
    let code = status.as_u16();
    let other = (code, code, Meaning::Refused(Fault::Receiver), "http_5xx", RECEIVER);
    let row = STATUSES
        .iter()
        .find(|(first, last, ..)| (*first..=*last).contains(&code));
    let (_, _, meaning, reason, remedy) = *row.unwrap_or(&other);
    let said = text(headers, body);
    let (meaning, remedy) = match meaning {
        Meaning::Refused(Fault::Data) => {
            not_of_data(headers, &said, asked).map_or((meaning, remedy), |remedy| (Meaning::Hold, remedy))
        }
        _ => (meaning, remedy),
    };
    let location = headers
        .get(header::LOCATION)
        .and_then(|to| to.to_str().ok())
        .unwrap_or_default();
    let retry_after = retry_after(headers);
    let verdict = match meaning {
        Meaning::Retry | Meaning::Slow => Verdict::Retry { retry_after },
        Meaning::Hold => Verdict::Hold,
        Meaning::TooLarge => Verdict::TooLarge,
        Meaning::Refused(fault) => Verdict::Refused(fault),
    };
    let remedy = match code {
        404 if asked.is_prometheus => NO_RECEIVER,
        415 if asked.compression == Compression::Gzip => NO_GZIP,
        404 | 405 | 410 | 415 | 501 if asked.protocol == Protocol::Grpc => WRONG_SERVICE,
        _ => remedy,
    };
    Answer {
        is_slow: matches!(meaning, Meaning::Slow),
        ..Answer::new(verdict, format!("{status} {location} {said}")).because(reason, remedy)
    }
}

/// The remedy for a refusal that is not that of a receiver of OTLP/HTTP which has read the data.
fn not_of_data(headers: &HeaderMap, said: &str, asked: &Asked) -> Option<&'static str> {
    // Go's net/http and nginx ("plain HTTP request was sent to HTTPS port") on a port of TLS; nginx without a certificate.
    if said.contains("HTTP request") && said.contains("HTTPS") {
        Some(USE_HTTPS)
    } else if said.contains("SSL certificate") {
        Some(CLIENT_CERTIFICATE)
    } else if is(headers, "text/html") || asked.protocol == Protocol::Grpc {
        Some(WEB_SERVER)
    } else {
        None
    }
}

/// Message in the body of an error: a `google.rpc.Status` by the specification, plain text in practice.
fn text(headers: &HeaderMap, body: &Bytes) -> String {
    if is(headers, "application/x-protobuf")
        && let Ok(status) = tonic_types::pb::Status::decode(body.clone())
    {
        return status.message;
    }
    super::text(body).into_owned()
}
