//! Connections to a destination: direct ones, or through a proxy.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service;

use super::error::ProxyError;
use super::{Proxy, tunnel};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections. TLS to the destination itself is the caller's.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    proxied: Option<Proxied>,
}

#[derive(Clone)]
struct Proxied {
    proxy: Arc<Proxy>,
    /// Its address.
    uri: Uri,
    to_proxy: HttpsConnector<HttpConnector>,
    /// Whether a connection without TLS is a tunnel too, instead of requests that the proxy forwards.
    tunnels_plain: bool,
}

impl Connector {
    /// Direct connections.
    pub(crate) fn direct(tcp: HttpConnector) -> Self {
        Self { tcp, proxied: None }
    }

    /// Connections through `proxy`, to which `tls` applies if its URL is `https`.
    pub(crate) fn through(tcp: HttpConnector, proxy: &Proxy, tls: ClientConfig, tunnels_plain: bool) -> Self {
        // `Proxy::parse` has tried the conversion.
        let uri = Uri::try_from(proxy.url().as_str()).unwrap_or_default();
        let to_proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let proxied = Proxied {
            proxy: Arc::new(proxy.clone()),
            uri,
            to_proxy: to_proxy.enable_http1().wrap_connector(tcp.clone()),
            tunnels_plain,
        };
        Self {
            tcp,
            proxied: Some(proxied),
        }
    }
}

impl Proxied {
    async fn connect(mut self, destination: Uri) -> Result<Stream, BoxError> {
        let connection = async {
            std::future::poll_fn(|context| self.to_proxy.poll_ready(context)).await?;
            self.to_proxy.call(self.uri.clone()).await
        };
        let stream = connection.await.map_err(|source| ProxyError::Unreachable {
            proxy: (*self.proxy).clone(),
            source,
        })?;
        let is_plain = destination.scheme_str() == Some("http");
        if is_plain && !self.tunnels_plain {
            return Ok(Stream::Forwarded(Box::new(stream)));
        }
        let host = destination.host().unwrap_or_default();
        let port = destination.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let tunnel = tunnel::open(stream, &self.proxy, &format!("{host}:{port}")).await?;
        Ok(Stream::Tunnel(tunnel))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.tcp.poll_ready(context))?;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        if let Some(proxied) = self.proxied.clone() {
            return Box::pin(proxied.connect(destination));
        }
        let connection = self.tcp.call(destination);
        Box::pin(async { Ok(Stream::Direct(connection.await?)) })
    }
}

/// A connection.
pub(crate) enum Stream {
    /// To the destination.
    Direct(TokioIo<TcpStream>),
    /// To a proxy that reads each request and sends it on.
    Forwarded(Box<MaybeHttpsStream<TokioIo<TcpStream>>>),
    /// To the destination, through a proxy that passes on bytes.
    Tunnel(hyper::upgrade::Upgraded),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(stream) => stream.connected(),
            // The client writes the whole URL into the request line (RFC 9112, "absolute-form").
            Self::Forwarded(_) => Connected::new().proxy(true),
            Self::Tunnel(_) => Connected::new(),
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Direct($stream) => $call,
            Stream::Forwarded($stream) => $call,
            Stream::Tunnel($stream) => $call,
        }
    };
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buf))
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Direct(stream) => stream.is_write_vectored(),
            Self::Forwarded(stream) => stream.is_write_vectored(),
            Self::Tunnel(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(context, bufs))
    }
}
