//! An HTTP receiver.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::any;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::{Script, Seen, ids};

#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Gives this answer only to requests of more points than this.
    pub(crate) above: usize,
}

/// An answer without a body.
pub(crate) fn status(status: u16) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: Bytes::new(),
        above: 0,
    }
}

impl Reply {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn above(mut self, points: usize) -> Self {
        self.above = points;
        self
    }
}

pub(crate) struct Attempt {
    pub(crate) at: Instant,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// The body as received.
    pub(crate) body: Bytes,
    pub(crate) ids: Vec<i64>,
    pub(crate) accepted: bool,
}

/// What happens to a request that is not let through.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trap {
    /// Its connection is closed.
    Close,
    /// It gets no answer.
    Silence,
    Status(u16),
}

/// Whether a request of these points is not let through.
pub(crate) type IsTrapped = Arc<dyn Fn(&[i64]) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) script: Script<Reply>,
    pub(crate) seen: Seen<Attempt>,
    /// The `authorization` that requests must have, if any.
    pub(crate) token: Option<&'static str>,
    /// Refuses requests that have one of these points, with this status.
    pub(crate) poison: (Vec<i64>, u16),
    pub(crate) trap: Option<(Trap, IsTrapped)>,
}

pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            script: Script::new(script),
            seen: Seen::default(),
            token: None,
            poison: (Vec::new(), 400),
            trap: None,
        }
    }

    pub(crate) async fn start(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.router();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Running { peer: self, address }
    }

    /// As [`start`](Self::start), over HTTP/2 too: a proxy before a receiver of gRPC.
    pub(crate) fn start_for_grpc(self) -> Running {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let server = Server::builder()
            .accept_http1(true)
            .add_routes(Routes::from(self.router()));
        tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Running { peer: self, address }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .fallback(any(answer))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(self.clone())
    }

    /// The values of all points that were accepted, in the order of their arrival.
    pub(crate) fn accepted(&self) -> Vec<i64> {
        self.seen
            .map(|attempt| {
                if attempt.accepted {
                    attempt.ids.clone()
                } else {
                    Vec::new()
                }
            })
            .concat()
    }
}

async fn answer(State(peer): State<Peer>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let is = |name, text| headers.get(name).is_some_and(|value| value == text);
    let is_grpc = is("content-type", "application/grpc");
    // A message of gRPC has a flag and its length before it.
    let message = if is_grpc { body.slice(5..) } else { body.clone() };
    let mut plain = message.to_vec();
    if is("content-encoding", "gzip") || is("grpc-encoding", "gzip") {
        plain.clear();
        GzDecoder::new(&*message).read_to_end(&mut plain).unwrap();
    }
    let ids = ids(&ExportMetricsServiceRequest::decode(&*plain).unwrap());
    let allowed = peer
        .token
        .is_none_or(|token| headers.get("authorization").is_some_and(|value| value == token));
    let mut reply = if allowed {
        peer.script.next().unwrap_or_else(|| status(200))
    } else {
        status(401)
    };
    if ids.len() <= reply.above {
        reply = status(200);
    }
    if ids.iter().any(|id| peer.poison.0.contains(id)) {
        reply = status(peer.poison.1).body("a bad point");
    }
    let trap = peer
        .trap
        .as_ref()
        .filter(|(_, is_trapped)| is_trapped(&ids))
        .map(|(trap, _)| *trap);
    if let Some(Trap::Status(code)) = trap {
        reply = status(code);
    }
    let is_lost = matches!(trap, Some(Trap::Close | Trap::Silence));
    let is_plain = reply.headers.is_empty() && reply.body.is_empty();
    let accepted = !is_lost && reply.status < 300 && (is_plain || !reply.body.starts_with(b"no OTLP"));
    let path = uri.path().to_owned();
    peer.seen.add(Attempt {
        at: Instant::now(),
        method,
        path,
        headers,
        body,
        ids,
        accepted,
    });
    match trap {
        // hyper closes the connection of a body that fails.
        Some(Trap::Close) => {
            let cut = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
            return Response::new(Body::from_stream(cut));
        }
        Some(Trap::Silence) => std::future::pending().await,
        Some(Trap::Status(_)) | None => {}
    }
    if is_grpc && is_plain && accepted {
        let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
        let message = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(status)) });
        let response = Response::builder().header("content-type", "application/grpc");
        return response.body(Body::new(message)).unwrap();
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}
