//! Whether a request has begun to be sent: a deadline before that says nothing of its size.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether the body of a request was asked for, which hyper does once it has a connection and has written the head.
#[derive(Debug, Clone, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    pub(super) fn has(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The body, which tells when it is asked for.
    pub(super) fn at<B>(&self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        Body::new(Told {
            body,
            begun: self.clone(),
        })
    }
}

struct Told<B> {
    body: B,
    begun: Begun,
}

impl<B: HttpBody + Unpin> HttpBody for Told<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let told = self.get_mut();
        told.begun.0.store(true, Ordering::Relaxed);
        Pin::new(&mut told.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
