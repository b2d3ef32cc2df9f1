//! HTTP server: each listener has a table of routes, and rules of access.
//!
//! Metrics, health and the views of the replaced tools register [`Route`]s; only [`Listener`] opens sockets.

mod access;
mod agent;
mod answers;
mod auth;
mod connections;
mod count;
mod cuts;
mod hosts;
mod listener;
mod negotiate;
mod paced;
mod pieces;
mod progress;
mod route;
mod serve_apart;
mod tls;
mod watched;

pub use access::Access;
pub use agent::{Readiness, routes};
pub use answers::Answers;
pub use auth::AuthFiles;
pub use connections::Limits;
pub use hosts::{AllowedHosts, HostPattern};
pub use listener::{BindError, Listener};
pub use pieces::Sink;
pub use route::Route;
pub use serve_apart::serve_apart;
pub use tls::TlsFiles;
pub use watched::FileError;
