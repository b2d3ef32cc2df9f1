//! OTLP over HTTP: protobuf by POST.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::classify::{self, Answer, MAX_RESPONSE_BYTES};
use super::credentials::USER_AGENT;
use super::destination::{Compression, Destination};
use super::error::BuildError;
use super::tls::Tls;

type Body = Full<Bytes>;

enum Pool {
    Plain(legacy::Client<HttpConnector, Body>),
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Body>),
}

impl Pool {
    fn new(connector: HttpConnector, tls: Option<Tls>) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new());
        match tls {
            None => Self::Plain(builder.build(connector)),
            Some(tls) => Self::Tls(
                builder.build(
                    HttpsConnectorBuilder::new()
                        .with_tls_config(tls.into_rustls())
                        .https_only()
                        .enable_all_versions()
                        .wrap_connector(connector),
                ),
            ),
        }
    }

    fn request(&self, request: Request<Body>) -> ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

/// A pool of connections, and the headers of each request.
pub(super) struct Client {
    pool: Pool,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl Client {
    pub(super) fn new(destination: &Destination, mut headers: HeaderMap, tls: Option<Tls>) -> Result<Self, BuildError> {
        let uri = Uri::try_from(destination.endpoint.as_str()).map_err(|error| BuildError::Endpoint {
            destination: destination.name.clone(),
            problem: format!("cannot be used: {error}"),
        })?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(destination.timeout));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        if destination.compression == Compression::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self {
            pool: Pool::new(connector, tls),
            uri,
            headers,
            compression: destination.compression,
        })
    }

    pub(super) async fn send(&mut self, records: Vec<Bytes>) -> Answer {
        let mut request = Request::new(Full::new(body(records, self.compression)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.pool.request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::unreachable(&error),
        };
        let (parts, incoming) = response.into_parts();
        match Limited::new(incoming, MAX_RESPONSE_BYTES).collect().await {
            Ok(body) => classify::http(parts.status, &parts.headers, body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Answer::too_large(),
            Err(error) => Answer::unreachable(&*error),
        }
    }
}

fn body(mut records: Vec<Bytes>, compression: Compression) -> Bytes {
    match compression {
        Compression::None if records.len() == 1 => records.swap_remove(0),
        Compression::None => {
            let mut joined = BytesMut::with_capacity(records.iter().map(Bytes::len).sum());
            for record in &records {
                joined.extend_from_slice(record);
            }
            joined.freeze()
        }
        Compression::Gzip => {
            // The fastest level: names repeat so often that a higher one gains little, and the node's CPU time belongs to
            // its workload.
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let written = records.iter().try_for_each(|record| encoder.write_all(record));
            #[expect(
                clippy::expect_used,
                reason = "writing into a Vec fails for want of memory only, which aborts"
            )]
            written
                .and_then(|()| encoder.finish())
                .expect("a Vec takes every write")
                .into()
        }
    }
}
