//! The HTTP client of the OTLP senders and of the node annotation.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tonic::body::Body;

/// Connections to one host, made with the first request and kept.
pub(crate) type Connections = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// Does not connect yet; must be called in a tokio runtime.
pub(crate) fn connections(tls: ClientConfig, http2_only: bool, connect_timeout: Duration) -> Connections {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let connector = if http2_only {
        connector.enable_http2().wrap_connector(tcp)
    } else {
        connector.enable_all_versions().wrap_connector(tcp)
    };
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http2_only(http2_only)
        .build(connector)
}

/// A TLS configuration that trusts `roots`.
pub(crate) fn tls(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}
