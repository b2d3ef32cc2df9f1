//! Connections of a listener, bounded in number, size and time.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

/// Upper bound of a request's line and headers, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest number of connections. Beyond it the one with the oldest request is closed, so that a client that holds many
    /// does not keep out the next scrape or probe.
    pub connections: usize,
    /// Lifetime of a connection after the begin of its latest request, in which the client reads the response or sends the
    /// next request.
    pub idle: Duration,
    /// Time for requests in flight at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    /// 32 connections; 35 s, so that a scrape every 30 s keeps its connection; 1 s.
    fn default() -> Self {
        Self {
            connections: 32,
            idle: Duration::from_secs(35),
            grace: Duration::from_secs(1),
        }
    }
}

/// Time at which a connection's latest request began, or at which it was accepted.
type LatestRequest = watch::Receiver<Instant>;

pub(super) async fn serve(
    key: &'static str,
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let (closing, closed) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut live: Vec<(LatestRequest, AbortHandle)> = Vec::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => {
                live.retain(|(_, task)| !task.is_finished());
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if live.len() >= limits.connections.max(1) {
                    close_oldest(&mut live);
                }
                let (requests, latest) = watch::channel(Instant::now());
                let serving = connection(stream, app.clone(), requests, limits.idle, closed.clone());
                live.push((latest, tasks.spawn(serving)));
            }
            // The client closed the connection before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "{key}: cannot accept a connection; if too many files are open, raise LimitNOFILE");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    drop(listener);
    closing.send_replace(true);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    // Connections beyond the grace period are aborted when the set is dropped.
    timeout(limits.grace, all_ended).await.ok();
}

fn close_oldest(live: &mut Vec<(LatestRequest, AbortHandle)>) {
    let oldest = (0..live.len()).min_by_key(|at| *live[*at].0.borrow());
    if let Some(at) = oldest {
        live.swap_remove(at).1.abort();
    }
}

async fn connection(
    stream: TcpStream,
    app: Router,
    requests: watch::Sender<Instant>,
    idle: Duration,
    mut closed: watch::Receiver<bool>,
) {
    let mut latest = requests.subscribe();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        requests.send_replace(Instant::now());
        app.clone().call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut closing = false;
    loop {
        tokio::select! {
            // Malformed requests and lost connections: the client has the response, the user could not act on them.
            _ = connection.as_mut() => return,
            request = timeout(idle, latest.changed()) => {
                if request.is_err() {
                    return;
                }
            }
            _ = closed.wait_for(|closed| *closed), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
