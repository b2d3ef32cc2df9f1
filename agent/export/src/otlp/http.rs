//! OTLP over HTTP: protobuf by POST.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{Full, LengthLimitError};

use super::begun::Begun;
use super::classify::{self, Answer};
use super::destination::Compression;
use super::transport::Client;
use super::unary::{explanation, received, unanswered};

pub(super) async fn send(client: &Client, records: Vec<Bytes>, begun: &Begun) -> Answer {
    let mut headers = client.headers.clone();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let body = match client.compression {
        Compression::None => records.concat(),
        Compression::Gzip => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed(&records)
        }
    };
    let mut request = Request::new(begun.at(Full::from(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = client.endpoint.clone();
    *request.headers_mut() = headers;
    let response = match client.connections.request(request).await {
        Ok(response) => response,
        Err(error) => return unanswered(&error),
    };
    let (parts, incoming) = response.into_parts();
    if let Some(answer) = client.refused_by_proxy(parts.status) {
        return answer;
    }
    if !parts.status.is_success() {
        let body = explanation(incoming).await;
        return classify::http_answered(parts.status, &parts.headers, &body, &client.asked);
    }
    let (body, arrived) = received(incoming).await;
    match body {
        Ok(body) => classify::http_answered(parts.status, &parts.headers, &body.to_bytes(), &client.asked),
        Err(error) if error.is::<LengthLimitError>() => classify::http_too_large(&parts.headers, &arrived.beginning),
        Err(error) => Answer::interrupted(&*error),
    }
}

/// At the fastest level: names repeat so often that a higher one gains little, and the node's CPU time belongs to its
/// workload.
fn compressed(records: &[Bytes]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let written = records.iter().try_for_each(|record| encoder.write_all(record));
    #[expect(
        clippy::expect_used,
        reason = "writing into a Vec fails for want of memory only, which aborts"
    )]
    written
        .and_then(|()| encoder.finish())
        .expect("a Vec takes every write")
}
