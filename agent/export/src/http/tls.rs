//! TLS of a listener.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelscope_core::LogLimiter;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::watched::{FileError, Named, Watched};

/// Files of a listener's TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and the root.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// What signs clients' certificates; with it all but the probes need one.
    pub client_ca_file: Option<PathBuf>,
}

/// The configuration for new connections, from files that are read again when they change.
pub(super) struct Tls {
    files: Watched<ServerConfig>,
    /// Used while a changed file cannot be used: certificate and key are replaced one after the other.
    usable: Mutex<Option<Arc<ServerConfig>>>,
    unusable: LogLimiter,
}

impl Tls {
    /// `prefix` is that of the keys, such as `http`.
    pub(super) fn new(prefix: &str, files: &TlsFiles) -> Self {
        let named = |key, file: &PathBuf| Named {
            key: format!("{prefix}.tls.{key}"),
            file: file.clone(),
        };
        let mut all = vec![named("cert_file", &files.cert_file), named("key_file", &files.key_file)];
        all.extend(files.client_ca_file.as_ref().map(|file| named("client_ca_file", file)));
        let names = all.clone();
        Self {
            files: Watched::new(all, move |contents| configuration(&names, contents)),
            usable: Mutex::default(),
            unusable: LogLimiter::new(Duration::from_mins(1)),
        }
    }

    /// Reads the files.
    pub(super) fn verify(&self) -> Result<(), FileError> {
        self.files.get().map(drop)
    }

    /// The configuration for a connection that begins.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        let mut usable = self.usable.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.get() {
            Ok(config) => *usable = Some(config),
            Err(error) if self.unusable.admit("tls").is_some() => {
                tracing::warn!(%error, "going on with the certificate that was read before");
            }
            Err(_) => {}
        }
        usable.clone()
    }
}

fn configuration(named: &[Named], contents: &[Vec<u8>]) -> Result<ServerConfig, FileError> {
    let (cert, key) = (&named[0], &named[1]);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| cert.error(format!("no TLS version is usable: {error}")))?;
    let builder = match named.get(2).zip(contents.get(2)) {
        Some((ca, content)) => builder.with_client_cert_verifier(verifier(ca, content, provider)?),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(cert, &contents[0])?;
    let private = PrivateKeyDer::from_pem_slice(&contents[1])
        .map_err(|error| key.error(format!("holds no private key in PEM: {error}")))?;
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| cert.error(format!("does not fit {} ({}): {error}", key.key, key.file.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Scrapers keep their connections, and a client whose certificate is no longer accepted resumes nothing.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Accepts clients without a certificate: a kubelet's probe has none, and only those routes answer it.
fn verifier(
    ca: &Named,
    content: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, content)? {
        roots
            .add(certificate)
            .map_err(|error| ca.error(format!("holds an unusable certificate: {error}")))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| ca.error(error.to_string()))
}

fn certificates(named: &Named, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(named.error("holds no certificate in PEM")),
        Err(error) => Err(named.error(format!("is no valid PEM: {error}"))),
    }
}
