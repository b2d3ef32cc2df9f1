//! Bound address with its routes and authentication.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use super::access::{Guard, refuse_foreign, refuse_strangers};
use super::connections::{self, Limits, Shared};
use super::count::{count, counter};
use super::{Access, Answers, FileError, Route};

/// What the kernel may hold of a connection in each direction, in bytes, of which it makes double for its own use (socket(7)).
/// By itself it takes up to 4 MiB for a client that does not read, and a control group's limit counts them.
const SOCKET_BUFFER: usize = 128 << 10;

/// A bound address with its routes.
pub struct Listener {
    key: &'static str,
    socket: TcpListener,
    addr: SocketAddr,
    routes: Vec<Route>,
    guard: Arc<Guard>,
    answers: Answers,
    limits: Limits,
    is_bare: bool,
}

/// An address that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be bound.
    #[error("{key}: cannot listen on {addr}; {remedy}")]
    Address {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The remedy.
        remedy: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file of its TLS or its authentication cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two routes have the same path.
    #[error("{key}: two routes answer GET {path}; this is a fault of the agent, please report it")]
    Duplicate {
        /// The configuration's key.
        key: &'static str,
        /// The path.
        path: &'static str,
    },
}

impl Listener {
    /// Binds the address; [`serve`](Self::serve) answers requests. `key` is the configuration's key of the address, for errors
    /// and logs. `/` lists the routes unless one of them has that path or the listener is [`bare`](Self::bare).
    pub fn bind(key: &'static str, addr: SocketAddr, routes: Vec<Route>, access: &Access) -> Result<Self, BindError> {
        let guard = Guard::new(key, access);
        guard.verify()?;
        verify(key, &routes)?;
        let address = |source: io::Error| BindError::Address {
            key,
            addr,
            remedy: remedy(key, addr, &source),
            source,
        };
        let socket = TcpListener::bind(addr).map_err(address)?;
        socket.set_nonblocking(true).map_err(address)?;
        // Connections inherit them. Without them more is held, and nothing else is different.
        set_socket_send_buffer_size(&socket, SOCKET_BUFFER).ok();
        set_socket_recv_buffer_size(&socket, SOCKET_BUFFER).ok();
        Ok(Self {
            key,
            addr: socket.local_addr().map_err(address)?,
            socket,
            routes,
            guard: Arc::new(guard),
            answers: Answers::default(),
            limits: Limits::default(),
            is_bare: false,
        })
    }

    /// Answers other paths and methods with the status alone, and `/` like them: as a replaced tool that had no more.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// Shares the bound of answers with other listeners.
    #[must_use]
    pub fn with_answers(mut self, answers: &Answers) -> Self {
        self.answers = answers.clone();
        self
    }

    /// Replaces the default bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The bound address; for port 0 with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`, then waits up to [`Limits::grace`] for requests in flight. Requires a tokio runtime with I/O
    /// and time; fails only if the socket cannot be registered with it.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        let scheme = if self.guard.tls.is_some() { "https" } else { "http" };
        tracing::info!("serving {scheme}://{} ({})", self.addr, self.key);
        let shared = Shared {
            app: assemble(self.routes, self.is_bare, &self.guard, &self.answers),
            guard: self.guard,
            limits: self.limits,
            cuts: self.answers.cuts().clone(),
        };
        connections::serve(self.key, socket, shared, shutdown).await;
        Ok(())
    }
}

fn verify(key: &'static str, routes: &[Route]) -> Result<(), BindError> {
    let mut paths = BTreeSet::new();
    match routes.iter().find(|route| !paths.insert(route.path)) {
        Some(again) => Err(BindError::Duplicate { key, path: again.path }),
        None => Ok(()),
    }
}

/// The list of the routes.
fn index(routes: &[Route]) -> Route {
    let lines = routes.iter().map(|r| format!("GET {:12} {}\n", r.path, r.about));
    let text: Arc<str> = format!("accelscope\n\n{}", lines.collect::<String>()).into();
    Route::get("/", "this list", async move || text.to_string())
}

fn assemble(mut routes: Vec<Route>, is_bare: bool, guard: &Arc<Guard>, answers: &Answers) -> Router {
    if !is_bare && !routes.iter().any(|route| route.path == "/") {
        routes.push(index(&routes));
    }
    let mut listed: Vec<&str> = routes.iter().map(|route| route.path).collect();
    listed.sort_unstable();
    let not_found: Arc<str> = format!("404: nothing is here; there is {}.\n", listed.join(", ")).into();
    let strangers = from_fn_with_state(Arc::clone(guard), refuse_strangers);
    let mut app = Router::new();
    for route in routes {
        let (path, public) = (route.path, route.public);
        let handler = route.into_handler(answers);
        app = app.route(
            path,
            if public {
                handler
            } else {
                handler.layer(strangers.clone())
            },
        );
    }
    if !is_bare {
        app = app
            .method_not_allowed_fallback(async || {
                (
                    StatusCode::METHOD_NOT_ALLOWED,
                    "405: not this way; the Allow header names the methods of this path.\n",
                )
            })
            .fallback(async move || (StatusCode::NOT_FOUND, not_found.to_string()));
    }
    app.layer(from_fn_with_state(Arc::clone(guard), refuse_foreign))
        .layer(from_fn_with_state(counter(), count))
}

fn remedy(key: &str, addr: SocketAddr, error: &io::Error) -> String {
    let port = addr.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program has that port (`ss -ltnp 'sport = :{port}'` names it, perhaps a second agent): \
             stop it, or set {key} to a free port"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need CAP_NET_BIND_SERVICE: grant it, or set {key} to a higher port")
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "this machine has no such address (`ip address` lists its own): set {key} to one of them, or to 0.0.0.0:{port} \
             for all"
        ),
        _ => format!("set {key} to another address"),
    }
}
