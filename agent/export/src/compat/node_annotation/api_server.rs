//! Requests to an API server, with a ServiceAccount's certificates and token.

use std::error::Error;
use std::path::Path;

use accelscope_core::host::bounded::read_bounded;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tonic::body::Body;

use super::settings::{ApiServer, DEADLINE};
use crate::client;

/// Largest file of certificates or token that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Connections to an API server, made with the first request and kept as long as the trusted certificates stay the same.
pub(super) struct Connections {
    server: ApiServer,
    certificates: Vec<u8>,
    client: client::Connections,
}

impl Connections {
    /// Reads and checks the files. Does not connect yet; must be called in a Tokio runtime.
    pub(super) fn new(server: ApiServer) -> Result<Self> {
        authorization(&server)?;
        let certificates = certificates(&server)?;
        Ok(Self {
            client: client(&certificates, &server)?,
            certificates,
            server,
        })
    }

    /// Sends a request, which has the path alone, with the newest certificates and token.
    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        let certificates = certificates(&self.server)?;
        if certificates != self.certificates {
            self.client = client(&certificates, &self.server)?;
            self.certificates = certificates;
        }
        *request.uri_mut() = format!("{}{}", self.server.url, request.uri()).parse()?;
        if let Some(authorization) = authorization(&self.server)? {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        Ok(self.client.request(request).await?)
    }
}

fn certificates(server: &ApiServer) -> Result<Vec<u8>> {
    server.ca_file.as_deref().map_or(Ok(Vec::new()), read)
}

fn authorization(server: &ApiServer) -> Result<Option<HeaderValue>> {
    let Some(path) = &server.token_file else {
        return Ok(None);
    };
    let token = String::from_utf8(read(path)?)?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
        .map_err(|_| format!("{} holds no token", path.display()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    read_bounded(path, MAX_FILE).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn client(certificates: &[u8], server: &ApiServer) -> Result<client::Connections> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        roots.add(certificate?)?;
    }
    if let Some(path) = &server.ca_file
        && roots.is_empty()
    {
        return Err(format!("{} holds no certificate in PEM", path.display()).into());
    }
    Ok(client::connections(
        client::tls(roots)?.with_no_client_auth(),
        false,
        DEADLINE,
    ))
}
