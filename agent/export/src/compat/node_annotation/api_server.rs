//! Requests to an API server, with a ServiceAccount's certificates and token.

use std::error::Error;
use std::path::Path;

use accelscope_core::host::bounded::read_regular;
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

type BoxError = Box<dyn Error + Send + Sync>;
type Result<T> = std::result::Result<T, BoxError>;

/// Connections to an API server, made with the first request. They are kept as long as requests get responses and the trusted
/// certificates stay the same.
pub(super) struct Connections {
    server: ApiServer,
    /// Those that could be read last.
    certificates: Vec<u8>,
    /// That which could be read last.
    authorization: Option<HeaderValue>,
    client: client::Connections,
}

impl Connections {
    /// Reads and checks the files. Does not connect yet; must be called in a Tokio runtime.
    pub(super) fn new(server: ApiServer) -> Result<Self> {
        let certificates = certificates(&server)?;
        Ok(Self {
            client: client(&certificates, &server)?,
            certificates,
            authorization: authorization(&server)?,
            server,
        })
    }

    /// Sends a request, which has the path alone.
    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        if let Err(error) = self.refresh().await {
            tracing::debug!(
                error = &*error,
                "the ServiceAccount's previous certificates and token are used"
            );
        }
        *request.uri_mut() = format!("{}{}", self.server.url, request.uri()).parse()?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        Ok(self.client.request(request).await?)
    }

    /// Connects anew with the next request: a connection whose other end is gone without a word would take requests until
    /// the kernel gives it up, after a quarter of an hour.
    pub(super) fn reconnect(&mut self) {
        // The certificates have been used before.
        if let Ok(client) = client(&self.certificates, &self.server) {
            self.client = client;
        }
    }

    /// Reads the files again, which the kubelet rotates.
    async fn refresh(&mut self) -> Result<()> {
        let server = self.server.clone();
        let read =
            tokio::task::spawn_blocking(move || Ok::<_, BoxError>((authorization(&server)?, certificates(&server)?)));
        let (authorization, certificates) = read.await??;
        self.authorization = authorization;
        if certificates != self.certificates {
            self.client = client(&certificates, &self.server)?;
            self.certificates = certificates;
        }
        Ok(())
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
    read_regular(path, MAX_FILE).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
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
        // The API server is in the cluster, as the agent is.
        None,
    ))
}
