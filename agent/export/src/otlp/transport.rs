//! Client of one destination, for either protocol.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use rustls::ClientConfig;

use super::begun::Begun;
use super::classify::{self, Answer, Asked, Verdict};
use super::credentials::{self, USER_AGENT};
use super::destination::{Compression, Destination, Protocol};
use super::error::BuildError;
use super::secrets::Secrets;
use super::{grpc, http as post, tls};
use crate::client::{Connections, Through, connections};
use crate::proxy::{self, Proxy};

/// What a client needs from the configuration and its files; loading it may block.
pub(super) struct ClientOptions {
    headers: HeaderMap,
    tls: ClientConfig,
    /// For the proxy.
    proxy_tls: ClientConfig,
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
        let parts = [endpoint.host_str().unwrap_or_default(), endpoint.path()];
        if let Some(problem) = parts.into_iter().find_map(unexpanded) {
            return invalid(&problem);
        }
        let mut headers = destination.headers.iter();
        let faulty = headers.find_map(|(name, value)| Some((name, unexpanded(value.reveal())?)));
        if let Some((header, problem)) = faulty {
            return Err(BuildError::invalid(
                destination,
                format!("header \"{header}\" {problem}"),
            ));
        }
        Ok(Self {
            headers: credentials::headers(destination)?,
            tls: tls::load(destination)?,
            proxy_tls: tls::for_proxy(destination)?,
        })
    }
}

/// What is wrong with a text that holds a variable of a shell (`${HOST}`), of Kubernetes (`$(HOST)`) or of a template
/// (`{{host}}`) that nobody replaced. A URL holds braces encoded.
pub fn unexpanded(text: &str) -> Option<String> {
    let text = text.replace("%7B", "{").replace("%7D", "}");
    for (open, close) in [("$(", ")"), ("${", "}"), ("{{", "}}")] {
        if let Some((_, after)) = text.split_once(open)
            && let Some((name, _)) = after.split_once(close)
            && is_name(name.trim())
        {
            return Some(format!(
                "holds the variable {open}{name}{close} as it is written; set it: in a pod, declare it in env above the one that \
                 uses it"
            ));
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A pool of connections, and what each request has.
pub(super) struct Client {
    pub(super) connections: Connections,
    pub(super) endpoint: Uri,
    pub(super) headers: HeaderMap,
    pub(super) compression: Compression,
    pub(super) asked: Asked,
    protocol: Protocol,
    timeout: Duration,
    proxy: Option<Proxy>,
    secrets: Secrets,
}

impl Client {
    /// Does not connect yet; must be called in a tokio runtime.
    pub(super) fn new(destination: &Destination, options: ClientOptions) -> Result<Self, BuildError> {
        let ClientOptions {
            mut headers,
            tls,
            proxy_tls,
        } = options;
        let is_grpc = destination.protocol == Protocol::Grpc;
        let through = destination
            .proxy
            .as_ref()
            .map(|proxy| Through { proxy, tls: proxy_tls });
        if let Some(authorization) = destination.proxy.as_ref().and_then(Proxy::authorization)
            && destination.is_forwarded()
        {
            headers.insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let secrets = Secrets::of(&destination.endpoint, &headers);
        // Not before: the agent's own name is no secret.
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(Self {
            connections: connections(tls, is_grpc, destination.timeout, through),
            endpoint: Uri::try_from(destination.endpoint.as_str())
                .map_err(|error| BuildError::caused_by(error, destination, "endpoint cannot be used"))?,
            headers,
            compression: destination.compression,
            asked: Asked::of(destination),
            protocol: destination.protocol,
            timeout: destination.timeout,
            proxy: destination.proxy.clone(),
            secrets,
        })
    }

    /// The answer if its status shows that a proxy made it and not the receiver.
    pub(super) fn refused_by_proxy(&self, status: StatusCode) -> Option<Answer> {
        let proxy = self
            .proxy
            .as_ref()
            .filter(|_| status == StatusCode::PROXY_AUTHENTICATION_REQUIRED)?;
        let verdict = Verdict::Retry { retry_after: None };
        Some(Answer::new(verdict, proxy::wants_credentials(proxy)).because("proxy", "trying again"))
    }

    /// Sends one request and waits for its response, up to the destination's timeout.
    pub(super) async fn send(&self, records: Vec<Bytes>) -> Answer {
        let begun = Begun::default();
        let sent = async {
            match self.protocol {
                Protocol::Grpc => grpc::send(self, records, &begun).await,
                Protocol::HttpProtobuf => post::send(self, records, &begun).await,
            }
        };
        let sent = tokio::time::timeout(self.timeout, sent);
        // A library that panics on what a receiver answers must not stop the sender.
        let mut answer = match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) if begun.has() => Answer::timed_out(self.timeout),
            Ok(Err(_)) => Answer::not_connected(self.timeout),
            Err(_) => Answer::unreadable(),
        };
        // Of what was not sent nothing was too much for the link.
        answer.is_slow &= begun.has();
        self.named_proxy(self.without_secrets(answer))
    }

    fn without_secrets(&self, mut answer: Answer) -> Answer {
        self.secrets.leave_out(&mut answer.message);
        // Not before: of a secret that is cut off nothing would be recognised.
        answer.message = classify::shortened(answer.message);
        answer
    }

    /// Names the proxy in the message of a failure, which may be its own.
    fn named_proxy(&self, mut answer: Answer) -> Answer {
        if let Some(proxy) = &self.proxy
            && !matches!(answer.verdict, Verdict::Accepted { .. })
        {
            let named = proxy.to_string();
            if !answer.message.contains(&named) {
                answer.message.push_str(&format!(", through {named}"));
            }
        }
        answer
    }
}
