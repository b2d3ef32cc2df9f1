//! Bound address with its routes and authentication.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use super::connections::{self, Limits};
use super::count::{count, counter};
use super::{Auth, Route};

/// A bound address with its routes.
#[derive(Debug)]
pub struct Listener {
    key: &'static str,
    socket: TcpListener,
    addr: SocketAddr,
    app: Router,
    limits: Limits,
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
    /// The secret cannot be read.
    #[error("{key}: cannot use the secret in {}; put one line into the file and let the agent's user read it", file.display())]
    Secret {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the file.
        #[source]
        source: io::Error,
    },
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
    /// and logs. `/` lists the routes unless one of them has that path.
    pub fn bind(key: &'static str, addr: SocketAddr, routes: Vec<Route>, auth: Auth) -> Result<Self, BindError> {
        auth.verify()
            .map_err(|(file, source)| BindError::Secret { key, file, source })?;
        let app = assemble(key, routes, auth)?;
        let address = |source: io::Error| BindError::Address {
            key,
            addr,
            remedy: remedy(key, addr, &source),
            source,
        };
        let socket = TcpListener::bind(addr).map_err(address)?;
        socket.set_nonblocking(true).map_err(address)?;
        Ok(Self {
            key,
            addr: socket.local_addr().map_err(address)?,
            socket,
            app,
            limits: Limits::default(),
        })
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
        tracing::info!("serving http://{} ({})", self.addr, self.key);
        connections::serve(self.key, socket, self.app, self.limits, shutdown).await;
        Ok(())
    }
}

fn assemble(key: &'static str, mut routes: Vec<Route>, auth: Auth) -> Result<Router, BindError> {
    let mut paths = BTreeSet::new();
    if let Some(again) = routes.iter().find(|route| !paths.insert(route.path)) {
        return Err(BindError::Duplicate { key, path: again.path });
    }
    if !paths.contains("/") {
        let lines = routes.iter().map(|r| format!("GET {:12} {}\n", r.path, r.about));
        let text: Arc<str> = format!("accelscope\n\n{}", lines.collect::<String>()).into();
        routes.push(Route::get("/", "this list", async move || text.to_string()));
    }
    let mut listed: Vec<&str> = routes.iter().map(|route| route.path).collect();
    listed.sort_unstable();
    let not_found: Arc<str> = format!("404: nothing is here; there is {}.\n", listed.join(", ")).into();
    let guard = from_fn_with_state(Arc::new(auth), guard);
    let mut app = Router::new();
    for route in routes {
        let handler = if route.public {
            route.handler
        } else {
            route.handler.layer(guard.clone())
        };
        app = app.route(route.path, handler);
    }
    Ok(app
        .method_not_allowed_fallback(async || {
            (
                StatusCode::METHOD_NOT_ALLOWED,
                "405: not this way; the Allow header names the methods of this path.\n",
            )
        })
        .fallback(async move || (StatusCode::NOT_FOUND, not_found.to_string()))
        // CPU time matters more than size on a small board.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(counter(), count)))
}

async fn guard(State(auth): State<Arc<Auth>>, request: Request, next: Next) -> Response {
    if auth.permits(request.headers()) {
        next.run(request).await
    } else {
        auth.refusal()
    }
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
