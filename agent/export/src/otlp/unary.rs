//! Reads a response of gRPC whole, before tonic does.
//!
//! tonic takes any response for gRPC: the page of a proxy before a dead receiver becomes "invalid compression flag", and the
//! HTTP status, with which the proxy says what is wrong, is lost.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::begun::Begun;
use super::classify::{self, Answer, Asked, MAX_RESPONSE_BYTES};
use crate::client::Connections;

/// Bytes of a response that only explains a failure.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// First bytes of a success that are noted, which show whether it is one of OTLP.
const BEGINNING: usize = 200;

type BoxError = Box<dyn Error + Send + Sync>;

/// Time for it: the status alone says what to do.
const MESSAGE_TIME: Duration = Duration::from_secs(1);

/// Header or trailer with the details of a status.
const DETAILS: &str = "grpc-status-details-bin";

/// As tonic reads it: gRPC lets senders leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A response that is not a success of gRPC.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There was no response.
    #[error("request failed")]
    Request(#[source] legacy::Error),
    /// It ended early.
    #[error("response failed")]
    Response(#[source] BoxError),
    /// It is no gRPC.
    #[error("{status} without gRPC")]
    NotGrpc {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
    /// It has no status of gRPC.
    #[error("no gRPC status")]
    NoStatus { status: StatusCode, headers: HeaderMap },
    /// Its status is not OK. Not a source: tonic would take it for its own.
    #[error("gRPC status {0}")]
    Status(Status),
    /// Its status is OK and its body is no message.
    #[error("no gRPC message")]
    NoMessage,
    /// It exceeds [`MAX_RESPONSE_BYTES`], and begins so.
    #[error("response too large")]
    TooLarge(Vec<u8>),
}

impl Failure {
    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        match self {
            Self::Request(error) => unanswered(error),
            Self::Response(error) => Answer::interrupted(&**error),
            Self::NotGrpc { status, headers, body } => classify::not_grpc(*status, headers, body, asked),
            Self::NoStatus { status, .. } if *status == StatusCode::OK => classify::grpc_without_status(*status),
            Self::NoStatus { status, headers } => classify::not_grpc(*status, headers, &Bytes::new(), asked),
            Self::Status(status) => classify::grpc_status(status, asked),
            Self::NoMessage => classify::grpc_no_message(),
            Self::TooLarge(beginning) => classify::grpc_too_large(beginning),
        }
    }
}

/// The answer where there was no response.
pub(super) fn unanswered(error: &legacy::Error) -> Answer {
    if error.is_connect() {
        Answer::unreachable(error)
    } else {
        Answer::interrupted(error)
    }
}

/// Body of a response that failed, as far as it explains: nothing if it is long or does not arrive.
pub(super) async fn explanation(body: hyper::body::Incoming) -> Bytes {
    let body = Limited::new(body, MAX_MESSAGE_BYTES).collect();
    match tokio::time::timeout(MESSAGE_TIME, body).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    }
}

/// What arrived of a body: its first bytes, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) beginning: Vec<u8>,
    length: u64,
}

impl Arrived {
    fn note(&mut self, data: &[u8]) {
        let room = BEGINNING.saturating_sub(self.beginning.len());
        self.beginning.extend_from_slice(&data[..data.len().min(room)]);
        self.length += data.len() as u64;
    }

    /// Whether a message of gRPC begins that has not arrived.
    fn lacks_message(&self) -> bool {
        let arrived = self.length.saturating_sub(classify::GRPC_PREFIX as u64);
        classify::grpc_message_length(&self.beginning).is_some_and(|length| length > arrived)
    }
}

/// The whole body of a success, up to [`MAX_RESPONSE_BYTES`].
pub(super) async fn received(body: hyper::body::Incoming) -> (Result<Collected<Bytes>, BoxError>, Arrived) {
    let mut arrived = Arrived::default();
    let noted = body.map_frame(|frame| {
        if let Some(data) = frame.data_ref() {
            arrived.note(data);
        }
        frame
    });
    let collected = Limited::new(noted, MAX_RESPONSE_BYTES).collect().await;
    (collected, arrived)
}

/// A service that answers with successes of gRPC only.
#[derive(Clone)]
pub(super) struct Unary {
    pub(super) connections: Connections,
    pub(super) begun: Begun,
}

impl Service<Request<Body>> for Unary {
    type Response = Response<Collected<Bytes>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // The client has no bound of its own.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.connections.request(request.map(|body| self.begun.at(body)));
        Box::pin(async move {
            let (head, body) = response.await.map_err(Failure::Request)?.into_parts();
            if !is_grpc(&head.headers) {
                // A success that is no gRPC is refused whatever its body is, so that little of it suffices.
                let body = explanation(body).await;
                let (status, headers) = (head.status, head.headers);
                return Err(Failure::NotGrpc { status, headers, body });
            }
            let (collected, arrived) = received(body).await;
            let collected = match collected {
                Ok(collected) => collected,
                Err(error) if error.is::<LengthLimitError>() => return Err(Failure::TooLarge(arrived.beginning)),
                Err(error) => return Err(Failure::Response(error)),
            };
            let response = success(head, collected).await?;
            if arrived.lacks_message() {
                return Err(Failure::NoMessage);
            }
            Ok(response)
        })
    }
}

/// The response, if its status of gRPC is OK.
pub(super) async fn success(
    mut head: Parts,
    mut body: Collected<Bytes>,
) -> Result<Response<Collected<Bytes>>, Failure> {
    if has_unreadable_details(&head.headers) {
        head.headers.remove(DETAILS);
    }
    if let Some(trailers) = body.trailers().filter(|trailers| has_unreadable_details(trailers)) {
        let mut trailers = trailers.clone();
        trailers.remove(DETAILS);
        body = whole(body.to_bytes(), Some(trailers)).await;
    }
    let status = Status::from_header_map(&head.headers).or_else(|| body.trailers().and_then(Status::from_header_map));
    match status {
        None => Err(Failure::NoStatus {
            status: head.status,
            headers: head.headers,
        }),
        Some(status) if status.code() != tonic::Code::Ok => Err(Failure::Status(status)),
        Some(_) => Ok(Response::from_parts(head, body)),
    }
}

/// A body that has been received.
pub(super) async fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Collected<Bytes> {
    let trailers = std::future::ready(trailers.map(Ok));
    let Ok(body) = Full::new(bytes).with_trailers(trailers).collect().await;
    body
}

/// Whether the details of a status are not base64. tonic 0.14 panics on them (`Status::from_header_map`); the status itself
/// says enough.
fn has_unreadable_details(headers: &HeaderMap) -> bool {
    let details = headers.get(DETAILS);
    details.is_some_and(|details| BASE64.decode(details.as_bytes()).is_err())
}

/// By its content type; a response of headers only may lack it.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return headers.contains_key("grpc-status");
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    kind.strip_prefix("application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([';', '+', ' ']))
}
