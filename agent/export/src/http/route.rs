//! A line of a listener's table.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, get, on};

/// What answers one method on one path.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) about: &'static str,
    pub(super) public: bool,
    pub(super) handler: MethodRouter,
}

impl Route {
    /// Answers GET and HEAD. `about` is its line in the index at `/`.
    pub fn get<H, T>(path: &'static str, about: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        Self {
            path,
            method: Method::GET,
            about,
            public: false,
            handler: get(handler),
        }
    }

    /// Answers POST.
    pub fn post<H, T>(path: &'static str, about: &'static str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        Self {
            path,
            method: Method::POST,
            about,
            public: false,
            handler: on(MethodFilter::POST, handler),
        }
    }

    /// Exempts it from the listener's authentication: a kubelet's probe has no credentials.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }
}
