//! Route of a listener.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::handler::Handler;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::answers::{Answers, NoAnswer, Slot};
use super::negotiate::takes_gzip;
use super::pieces::Sink;
use crate::prometheus::Format;

/// Handler of GET and HEAD on one path.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) public: bool,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Answer(Box<MethodRouter>),
    Metrics(Metrics),
}

/// Format of an answer and its `Content-Type`.
pub(crate) type Negotiate = fn(&HeaderMap) -> (Format, String);

/// Writes the metrics as they are.
type Render = dyn Fn(Format, &mut Sink) + Send + Sync;

#[derive(Clone)]
struct Metrics {
    negotiate: Negotiate,
    render: Arc<Render>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
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
            content: Content::Answer(Box::new(get(handler))),
        }
    }

    /// A route of metrics. `render` writes them as they are; scrapes of the same moment share what it wrote.
    pub(crate) fn metrics(
        path: &'static str,
        about: &'static str,
        negotiate: Negotiate,
        render: impl Fn(Format, &mut Sink) + Send + Sync + 'static,
    ) -> Self {
        let render = Arc::new(render);
        Self {
            path,
            about,
            public: false,
            content: Content::Metrics(Metrics { negotiate, render }),
        }
    }

    /// Exempts the route from the listener's authentication: a kubelet's probe has no credentials.
    #[must_use]
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    pub(super) fn into_handler(self, answers: &Answers) -> MethodRouter {
        match self.content {
            Content::Answer(handler) => *handler,
            Content::Metrics(metrics) => {
                let (answers, slots) = (answers.clone(), Slots::default());
                get(async move |headers: HeaderMap| answer(&metrics, &answers, &slots, &headers).await)
            }
        }
    }
}

/// A slot for each format, plain and compressed.
type Slots = [[Slot; 2]; 2];

async fn answer(metrics: &Metrics, answers: &Answers, slots: &Slots, headers: &HeaderMap) -> Response {
    let (format, content_type) = (metrics.negotiate)(headers);
    let gzip = takes_gzip(headers);
    let slot = &slots[usize::from(format == Format::OpenMetrics)][usize::from(gzip)];
    let render = Arc::clone(&metrics.render);
    match answers.get(slot, gzip, move |sink| render(format, sink)).await {
        Ok(reading) => {
            let encoding = gzip.then_some([(CONTENT_ENCODING, "gzip")]);
            let types = [(CONTENT_TYPE, content_type.as_str()), (VARY, "accept, accept-encoding")];
            (types, encoding.map(axum::response::AppendHeaders), Body::new(reading)).into_response()
        }
        Err(NoAnswer::Busy) => {
            let help = "503: the agent has more to do than to answer; ask again later, and less often.\n";
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "10")], help).into_response()
        }
        Err(NoAnswer::Failed) => {
            let help = "500: a fault of the agent; its log has more.\n";
            (StatusCode::INTERNAL_SERVER_ERROR, help).into_response()
        }
    }
}
