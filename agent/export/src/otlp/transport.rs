//! Client of one destination, for either protocol.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;

use super::classify::Answer;
use super::credentials;
use super::destination::{Destination, Protocol};
use super::error::BuildError;
use super::tls::Tls;
use super::{grpc, http as post};

/// What a client needs from the configuration and its files; loading it may block.
pub(super) struct ClientOptions {
    headers: HeaderMap,
    tls: Option<Tls>,
}

impl ClientOptions {
    /// Reads and checks headers, headers file and TLS files.
    pub(super) fn load(destination: &Destination) -> Result<Self, BuildError> {
        let endpoint = &destination.endpoint;
        let invalid = |problem: String| BuildError::Endpoint {
            destination: destination.name.clone(),
            problem,
        };
        if !matches!(endpoint.scheme(), "http" | "https") {
            return Err(invalid(format!(
                "has the scheme \"{}\"; use http or https",
                endpoint.scheme()
            )));
        }
        if endpoint.host_str().is_none() {
            return Err(invalid("has no host".to_owned()));
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(invalid(
                "holds a user or password; use headers or headers_file instead".to_owned(),
            ));
        }
        Ok(Self {
            headers: credentials::headers(destination)?,
            tls: Tls::load(destination)?,
        })
    }
}

/// A client that connects with its first request and keeps the connection.
pub(super) enum Client {
    Grpc(Box<grpc::Client>),
    Http(Box<post::Client>),
}

impl Client {
    /// Does not connect yet; must be called in a tokio runtime.
    pub(super) fn new(destination: &Destination, options: ClientOptions) -> Result<Self, BuildError> {
        let ClientOptions { headers, tls } = options;
        Ok(match destination.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(grpc::Client::new(destination, headers, tls)?)),
            Protocol::HttpProtobuf => Self::Http(Box::new(post::Client::new(destination, headers, tls)?)),
        })
    }

    /// Sends one request and waits for its response, up to the destination's timeout.
    pub(super) async fn send(&mut self, destination: &Destination, records: Vec<Bytes>) -> Answer {
        let sent = async {
            match self {
                Self::Grpc(client) => client.send(records).await,
                Self::Http(client) => client.send(records).await,
            }
        };
        let sent = tokio::time::timeout(destination.timeout, sent);
        // tonic 0.14 panics on a `grpc-status-details-bin` that is not base64 (`Status::from_header_map`); a remote header
        // must not stop the sender.
        match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::timed_out(destination.timeout),
            Err(_) => Answer::unreadable(),
        }
    }
}
