//! Connections of a listener, bounded in number, size and time.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::access::{Guard, ShownCertificate};
use super::cuts::{Cut, Cuts};
use super::paced::Paced;
use super::progress::Progress;

/// Upper bound of a request's line and headers, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// First byte of a TLS connection: a record of type handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// What a client gets that speaks plain HTTP to a listener with TLS.
const NOT_PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 50\r\n\
    connection: close\r\n\r\n400: this listener speaks TLS; ask it by https://\n";

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest number of connections. Beyond it one is closed for the next, so that a client that holds many does not keep
    /// out the next scrape or probe: one that is idle, else one of the client address that has the most, the oldest first.
    pub connections: usize,
    /// Lifetime of a connection after the begin of its latest request, in which the client reads the response or sends the
    /// next request.
    pub idle: Duration,
    /// Time in which a client takes something of what is sent to it, or goes on with a TLS handshake.
    pub stall: Duration,
    /// Time for requests in flight at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    /// 32 connections; 35 s, so that a scrape every 30 s keeps its connection; 10 s; 1 s.
    fn default() -> Self {
        Self {
            connections: 32,
            idle: Duration::from_secs(35),
            stall: Duration::from_secs(10),
            grace: Duration::from_secs(1),
        }
    }
}

/// A connection that is served.
struct Live {
    progress: watch::Receiver<Progress>,
    client: IpAddr,
    task: AbortHandle,
}

/// What the connections of a listener share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) app: Router,
    pub(super) guard: Arc<Guard>,
    pub(super) limits: Limits,
    pub(super) cuts: Cuts,
}

pub(super) async fn serve(
    key: &'static str,
    listener: TcpListener,
    shared: Shared,
    shutdown: impl Future<Output = ()>,
) {
    let (closing, closed) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut live: Vec<Live> = Vec::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => {
                live.retain(|one| !one.task.is_finished());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                if live.len() >= shared.limits.connections.max(1) {
                    close_one(&mut live, &shared.cuts);
                }
                let progress = Progress::channel();
                let task = connection(stream, shared.clone(), progress.clone(), closed.clone());
                live.push(Live {
                    progress: progress.subscribe(),
                    client: client.ip().to_canonical(),
                    task: tasks.spawn(task),
                });
            }
            // The client closed the connection before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "{key}: cannot accept a connection");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    // Connections beyond the grace period are aborted when the set is dropped.
    timeout(shared.limits.grace, all_ended).await.ok();
}

fn close_one(live: &mut Vec<Live>, cuts: &Cuts) {
    let mut by_client: HashMap<IpAddr, usize> = HashMap::new();
    for one in live.iter() {
        *by_client.entry(one.client).or_default() += 1;
    }
    let rank = |at: &usize| {
        let progress = *live[*at].progress.borrow();
        let others = usize::MAX - by_client[&live[*at].client];
        (progress.is_answering(), others, progress.since)
    };
    if let Some(at) = (0..live.len()).min_by_key(rank) {
        let closed = live.swap_remove(at);
        if closed.progress.borrow().is_answering() {
            cuts.add(Cut::Crowded);
        }
        closed.task.abort();
    }
}

async fn connection(
    stream: TcpStream,
    shared: Shared,
    progress: watch::Sender<Progress>,
    closed: watch::Receiver<bool>,
) {
    let stall = shared.limits.stall;
    if let Some(tls) = &shared.guard.tls {
        let mut first = [0];
        if !matches!(timeout(stall, stream.peek(&mut first)).await, Ok(Ok(1))) {
            return;
        }
        let mut stream = paced(stream, &shared);
        if first != [TLS_HANDSHAKE] {
            stream.write_all(NOT_PLAIN).await.ok();
            stream.shutdown().await.ok();
            return;
        }
        let Some(config) = tls.current() else { return };
        // Who fails is told by the alert; the user could not act on it.
        let Ok(Ok(stream)) = timeout(stall, TlsAcceptor::from(config).accept(stream)).await else {
            return;
        };
        let shown = ShownCertificate(stream.get_ref().1.peer_certificates().is_some());
        answer(stream, shown, shared, progress, closed).await;
    } else {
        let stream = paced(stream, &shared);
        answer(stream, ShownCertificate(false), shared, progress, closed).await;
    }
}

fn paced(stream: TcpStream, shared: &Shared) -> Paced {
    let cuts = shared.cuts.clone();
    Paced::new(stream, shared.limits.stall, move || cuts.add(Cut::Stalled))
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shown: ShownCertificate,
    shared: Shared,
    progress: watch::Sender<Progress>,
    mut closed: watch::Receiver<bool>,
) {
    let mut latest = progress.subscribe();
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        let answering = Progress::begin(&progress);
        request.extensions_mut().insert(shown);
        let response = shared.app.clone().call(request);
        async move { response.await.map(|response| answering.until_read(response)) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut closing = false;
    loop {
        let end = latest.borrow_and_update().since + shared.limits.idle;
        tokio::select! {
            // Malformed requests and lost connections: the client has the response, the user could not act on them.
            _ = connection.as_mut() => return,
            _ = latest.changed() => {}
            () = tokio::time::sleep_until(end) => {
                if latest.borrow().is_answering() {
                    shared.cuts.add(Cut::Slow);
                }
                return;
            }
            _ = closed.wait_for(|closed| *closed), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
