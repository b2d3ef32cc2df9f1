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

use crate::proxy::{Connector, Proxy};

/// Connections to one host, made with the first request and kept.
pub(crate) type Connections = legacy::Client<HttpsConnector<Connector>, Body>;

/// The way to the host through a proxy.
pub(crate) struct Through<'a> {
    pub(crate) proxy: &'a Proxy,
    /// For a proxy that is spoken to over TLS.
    pub(crate) tls: ClientConfig,
}

/// Does not connect yet; must be called in a tokio runtime.
pub(crate) fn connections(
    tls: ClientConfig,
    http2_only: bool,
    connect_timeout: Duration,
    through: Option<Through<'_>>,
) -> Connections {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .http2_only(http2_only)
        .build(connector(tls, http2_only, connect_timeout, through))
}

/// Opens connections to hosts, with TLS where their scheme asks for it.
pub(crate) fn connector(
    tls: ClientConfig,
    http2_only: bool,
    connect_timeout: Duration,
    through: Option<Through<'_>>,
) -> HttpsConnector<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    let connector = match through {
        // HTTP/2 without TLS cannot be forwarded by a proxy of HTTP/1.1.
        Some(Through { proxy, tls }) => Connector::through(tcp, proxy, tls, http2_only),
        None => Connector::direct(tcp),
    };
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if http2_only {
        https.enable_http2().wrap_connector(connector)
    } else {
        https.enable_all_versions().wrap_connector(connector)
    }
}

/// A TLS configuration that trusts `roots`.
pub(crate) fn tls(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}
