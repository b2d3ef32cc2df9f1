//! HTTP server: each listener has a table of routes and an authentication.
//!
//! Metrics, health and the views of the replaced tools register [`Route`]s; only [`Listener`] opens sockets.

mod agent;
mod auth;
mod connections;
mod count;
mod listener;
mod negotiate;
mod route;

pub use agent::{Readiness, routes};
pub use auth::Auth;
pub use connections::Limits;
pub use listener::{BindError, Listener};
pub use route::Route;
