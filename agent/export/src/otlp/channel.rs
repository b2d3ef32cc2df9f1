//! The way of measurements, for OpenTelemetry's own exporter: the same TLS, and the same proxies.

use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::HttpsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use super::destination::Destination;
use super::error::BuildError;
use super::tls;
use crate::client::{self, Through};
use crate::proxy::Connector;

/// A channel to this destination of gRPC, of which endpoint, timeout, files for TLS and proxy count. Reads the files; connects
/// with the first request, and must be made in a tokio runtime.
pub fn channel(to: &Destination) -> Result<Channel, BuildError> {
    let tls = tls::load(to)?;
    let proxy_tls = tls::for_proxy(to)?;
    let through = to.proxy.as_ref().map(|proxy| Through { proxy, tls: proxy_tls });
    let invalid = |error: http::uri::InvalidUri| BuildError::caused_by(error, to, "endpoint cannot be used");
    let uri = Uri::try_from(to.endpoint.as_str()).map_err(invalid)?;
    let mut plain = to.endpoint.clone();
    // Both are schemes of the web, which the URL takes.
    plain.set_scheme("http").ok();
    // tonic would want to add TLS itself.
    let endpoint = Endpoint::from(Uri::try_from(plain.as_str()).map_err(invalid)?).origin(uri.clone());
    Ok(endpoint.connect_with_connector_lazy(Fixed {
        connector: client::connector(tls, true, to.timeout, through),
        uri,
    }))
}

/// Connects to one host, whatever is asked for.
struct Fixed {
    connector: HttpsConnector<Connector>,
    uri: Uri,
}

impl Service<Uri> for Fixed {
    type Response = <HttpsConnector<Connector> as Service<Uri>>::Response;
    type Error = <HttpsConnector<Connector> as Service<Uri>>::Error;
    type Future = <HttpsConnector<Connector> as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.connector.call(self.uri.clone())
    }
}
