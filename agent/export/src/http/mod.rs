//! What the agent serves: a table of routes and an authentication per listener.
//!
//! Pull, health, the compat views and whatever comes later register [`Route`]s; none of them opens a socket itself.

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
