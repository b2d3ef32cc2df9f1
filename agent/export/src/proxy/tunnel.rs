//! A tunnel through a proxy (RFC 9110, "CONNECT").

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;

use super::Proxy;
use super::error::ProxyError;

/// Largest head of an answer to CONNECT, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Asks the proxy at the other end of `stream` for a connection to `target`, host and port.
pub(super) async fn open<S>(stream: S, proxy: &Proxy, target: &str) -> Result<Upgraded, ProxyError>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| ProxyError::Broken {
        proxy: proxy.clone(),
        target: target.to_owned(),
        source,
    };
    let uri = Uri::try_from(target).map_err(|error| broken(error.into()))?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    let host = target
        .try_into()
        .map_err(|error: http::header::InvalidHeaderValue| broken(error.into()))?;
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = proxy.authorization() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    let (mut requests, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| broken(error.into()))?;
    // It ends with the tunnel, or when the request is dropped; its error is that of the request.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let response = requests
        .send_request(request)
        .await
        .map_err(|error| broken(error.into()))?;
    let status = response.status();
    if !status.is_success() {
        return Err(ProxyError::Refused {
            proxy: proxy.clone(),
            target: target.to_owned(),
            status,
        });
    }
    hyper::upgrade::on(response).await.map_err(|error| broken(error.into()))
}
