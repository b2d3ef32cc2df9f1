//! What a connection does.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a connection does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// When its latest request began, or it was accepted.
    pub(super) since: Instant,
    /// Requests that have begun and responses that are not sent yet.
    answering: usize,
}

impl Progress {
    pub(super) fn channel() -> watch::Sender<Self> {
        watch::Sender::new(Self {
            since: Instant::now(),
            answering: 0,
        })
    }

    pub(super) const fn is_answering(&self) -> bool {
        self.answering > 0
    }

    /// A request begins.
    pub(super) fn begin(progress: &watch::Sender<Self>) -> Answering {
        progress.send_modify(|progress| {
            progress.since = Instant::now();
            progress.answering += 1;
        });
        Answering(progress.clone())
    }
}

/// Until it is dropped a request is being answered.
pub(super) struct Answering(watch::Sender<Progress>);

impl Answering {
    /// The response, whose body ends this.
    pub(super) fn until_read(self, response: Response) -> hyper::Response<Answered> {
        response.map(|body| Answered { body, _until: self })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.answering -= 1);
    }
}

/// A response's body. hyper drops it when it has taken the last of it.
pub(super) struct Answered {
    body: Body,
    _until: Answering,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
