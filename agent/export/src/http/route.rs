//! Route of a listener.

use axum::handler::Handler;
use axum::routing::{MethodRouter, get};

/// Handler of GET and HEAD on one path.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) public: bool,
    pub(super) handler: MethodRouter,
}

impl Route {
    /// A route for GET and HEAD. `about` is its line in the index at `/`.
    pub fn get<H, T>(path: &'static str, about: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        Self {
            path,
            about,
            public: false,
            handler: get(handler),
        }
    }

    /// Exempts the route from the listener's authentication: a kubelet's probe has no credentials.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }
}
