//! Client of one destination, for either protocol.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Uri, header};
use rustls::ClientConfig;

use super::classify::Answer;
use super::credentials::{self, USER_AGENT};
use super::destination::{Compression, Destination, Protocol};
use super::error::BuildError;
use super::{grpc, http as post, tls};
use crate::client::{Connections, connections};

/// What a client needs from the configuration and its files; loading it may block.
pub(super) struct ClientOptions {
    headers: HeaderMap,
    tls: ClientConfig,
}

impl ClientOptions {
    /// Reads and checks headers, headers file and TLS files.
    pub(super) fn load(destination: &Destination) -> Result<Self, BuildError> {
        let endpoint = &destination.endpoint;
        let invalid = |problem: &str| Err(BuildError::invalid(destination, format!("endpoint {problem}")));
        if !matches!(endpoint.scheme(), "http" | "https") {
            let problem = format!("has the scheme \"{}\"; use http or https", endpoint.scheme());
            return invalid(&problem);
        }
        if endpoint.host_str().is_none() {
            return invalid("has no host");
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return invalid("holds a user or password; use headers or headers_file instead");
        }
        Ok(Self {
            headers: credentials::headers(destination)?,
            tls: tls::load(destination)?,
        })
    }
}

/// A pool of connections, and what each request has.
pub(super) struct Client {
    pub(super) connections: Connections,
    pub(super) endpoint: Uri,
    pub(super) headers: HeaderMap,
    pub(super) compression: Compression,
    protocol: Protocol,
    timeout: Duration,
}

impl Client {
    /// Does not connect yet; must be called in a tokio runtime.
    pub(super) fn new(destination: &Destination, options: ClientOptions) -> Result<Self, BuildError> {
        let ClientOptions { mut headers, tls } = options;
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(Self {
            connections: connections(tls, destination.protocol == Protocol::Grpc, destination.timeout),
            endpoint: Uri::try_from(destination.endpoint.as_str())
                .map_err(|error| BuildError::caused_by(error, destination, "endpoint cannot be used"))?,
            headers,
            compression: destination.compression,
            protocol: destination.protocol,
            timeout: destination.timeout,
        })
    }

    /// Sends one request and waits for its response, up to the destination's timeout.
    pub(super) async fn send(&self, records: Vec<Bytes>) -> Answer {
        let sent = async {
            match self.protocol {
                Protocol::Grpc => grpc::send(self, records).await,
                Protocol::HttpProtobuf => post::send(self, records).await,
            }
        };
        let sent = tokio::time::timeout(self.timeout, sent);
        // tonic 0.14 panics on a `grpc-status-details-bin` that is not base64 (`Status::from_header_map`); a remote header
        // must not stop the sender.
        match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::timed_out(self.timeout),
            Err(_) => Answer::unreadable(),
        }
    }
}
