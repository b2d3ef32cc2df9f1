//! TLS configuration from PEM files, for both transports.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::credentials::read;
use super::destination::Destination;
use super::error::BuildError;

/// Validated contents of the files.
#[derive(Debug)]
pub(super) struct Tls {
    config: ClientConfig,
    ca: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// Reads the destination's files; `None` where the scheme of its endpoint is not `https`.
    pub(super) fn load(destination: &Destination) -> Result<Option<Self>, BuildError> {
        if destination.endpoint.scheme() != "https" {
            return Ok(None);
        }
        let files = &destination.tls;
        let file = |what, path: &Option<_>| path.as_deref().map(|path| read(destination, what, path)).transpose();
        let ca = file("ca_file", &files.ca_file)?;
        let identity = match (file("cert_file", &files.cert_file)?, file("key_file", &files.key_file)?) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(fault(
                    destination,
                    "cert_file and key_file belong together; set both or none",
                    None,
                ));
            }
        };
        let roots = roots(destination, ca.as_deref())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| fault(destination, "no TLS version is usable", Some(source.into())))?
            .with_root_certificates(roots);
        let config = match &identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(destination, "cert_file", cert)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| {
                    fault(destination, "key_file holds no private key in PEM", Some(source.into()))
                })?;
                builder.with_client_auth_cert(chain, key).map_err(|source| {
                    fault(
                        destination,
                        "cert_file and key_file do not fit together",
                        Some(source.into()),
                    )
                })?
            }
        };
        Ok(Some(Self { config, ca, identity }))
    }

    /// For hyper.
    pub(super) fn into_rustls(self) -> ClientConfig {
        self.config
    }

    /// For tonic.
    pub(super) fn into_tonic(self) -> ClientTlsConfig {
        let tls = match self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match self.identity {
            Some((cert, key)) => tls.identity(Identity::from_pem(cert, key)),
            None => tls,
        }
    }
}

fn roots(destination: &Destination, ca: Option<&[u8]>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(destination, "ca_file", ca)? {
            roots.add(certificate).map_err(|source| {
                fault(
                    destination,
                    "ca_file holds an unusable certificate",
                    Some(source.into()),
                )
            })?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let problem = "no trusted certificates on this system; install ca-certificates or set ca_file";
            return Err(fault(destination, problem, None));
        }
    }
    Ok(roots)
}

fn certificates(destination: &Destination, what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(fault(destination, &format!("{what} holds no certificate in PEM"), None)),
        Err(source) => Err(fault(
            destination,
            &format!("{what} is no valid PEM"),
            Some(source.into()),
        )),
    }
}

fn fault(
    destination: &Destination,
    problem: &str,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> BuildError {
    BuildError::Tls {
        destination: destination.name.clone(),
        problem: problem.to_owned(),
        source,
    }
}
