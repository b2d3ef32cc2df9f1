//! One destination's connection, whichever its protocol.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;

use super::classify::{Answer, Verdict};
use super::credentials;
use super::destination::{Destination, Protocol};
use super::error::BuildError;
use super::tls::Tls;
use super::{grpc, http as post};

/// Everything that is read from files for a client; reading may block.
pub(super) struct Material {
    headers: HeaderMap,
    tls: Option<Tls>,
}

impl Material {
    /// Reads and checks headers, headers file and TLS files.
    pub(super) fn load(destination: &Destination) -> Result<Self, BuildError> {
        let endpoint = &destination.endpoint;
        let wrong = |problem: String| BuildError::Endpoint {
            destination: destination.name.clone(),
            problem,
        };
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(wrong(format!(
                "has the scheme \"{}\"; use http or https",
                endpoint.scheme()
            )));
        }
        if endpoint.host_str().is_none() {
            return Err(wrong("has no host".to_owned()));
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(wrong(
                "holds a user or password; use headers or headers_file instead".to_owned(),
            ));
        }
        Ok(Self {
            headers: credentials::headers(destination)?,
            tls: Tls::load(destination)?,
        })
    }
}

/// A connection, opened with the first request and kept.
pub(super) enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<post::Client>),
}

impl Client {
    /// Opens nothing yet; must be called in a tokio runtime.
    pub(super) fn new(destination: &Destination, material: Material) -> Result<Self, BuildError> {
        let Material { headers, tls } = material;
        Ok(match destination.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(grpc::Client::new(destination, headers, tls)?)),
            Protocol::HttpProtobuf => Self::Http(Box::new(post::Client::new(destination, headers, tls)?)),
        })
    }

    /// Sends one request and waits for its answer, at most the destination's timeout.
    pub(super) async fn send(&mut self, destination: &Destination, records: Vec<Bytes>) -> Answer {
        let sent = async {
            match self {
                Self::Grpc(client) => client.send(records).await,
                Self::Http(client) => client.send(records).await,
            }
        };
        let sent = tokio::time::timeout(destination.timeout, sent);
        // tonic 0.14 panics on a `grpc-status-details-bin` that is no base64 (`Status::from_header_map`), and a
        // stranger's header must not end the sending for good.
        match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::timed_out(destination.timeout),
            Err(_) => Answer {
                reconnect: true,
                ..Answer::new(
                    Verdict::Retry { asked: None },
                    "the answer could not be read; is it an OTLP receiver?",
                )
            },
        }
    }
}
