//! TLS configuration from PEM files.

use std::path::Path;

use accelscope_core::host::answering::ask;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::credentials::read;
use super::destination::Destination;
use super::error::BuildError;
use crate::client;

/// Reads the destination's files; where the scheme of its endpoint is not `https`, nothing is read or trusted.
pub(super) fn load(destination: &Destination) -> Result<ClientConfig, BuildError> {
    let trusting = |roots| trusting(destination, roots);
    if destination.endpoint.scheme() != "https" {
        return Ok(trusting(RootCertStore::empty())?.with_no_client_auth());
    }
    let files = &destination.tls;
    let file = |what, path: &Option<_>| path.as_deref().map(|path| read(destination, what, path)).transpose();
    let builder = trusting(roots(destination, file("ca_file", &files.ca_file)?)?)?;
    match (file("cert_file", &files.cert_file)?, file("key_file", &files.key_file)?) {
        (Some(cert), Some(key)) => {
            let chain = certificates(destination, "cert_file", &cert)?;
            let key = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|error| BuildError::caused_by(error, destination, "key_file holds no private key in PEM"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                BuildError::caused_by(error, destination, "cert_file and key_file do not fit together")
            })
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => {
            let problem = "cert_file and key_file belong together; set both or none";
            Err(BuildError::invalid(destination, problem))
        }
    }
}

/// For the destination's proxy: trusts the system's certificates and those of `ca_file`. Where its URL is not `https`, nothing
/// is read or trusted.
pub(super) fn for_proxy(destination: &Destination) -> Result<ClientConfig, BuildError> {
    let mut trusted = RootCertStore::empty();
    if destination
        .proxy
        .as_ref()
        .is_some_and(|proxy| proxy.url().scheme() == "https")
    {
        trusted.add_parsable_certificates(of_system(destination)?);
        if let Some(path) = &destination.tls.ca_file {
            let ca = read(destination, "ca_file", path)?;
            trusted.extend(roots(destination, Some(ca))?.roots);
        }
    }
    Ok(trusting(destination, trusted)?.with_no_client_auth())
}

fn trusting(
    destination: &Destination,
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, BuildError> {
    client::tls(roots).map_err(|error| BuildError::caused_by(error, destination, "no TLS version is usable"))
}

fn roots(destination: &Destination, ca: Option<Vec<u8>>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(destination, "ca_file", &ca)? {
            roots
                .add(certificate)
                .map_err(|error| BuildError::caused_by(error, destination, "ca_file holds an unusable certificate"))?;
        }
    } else {
        roots.add_parsable_certificates(of_system(destination)?);
        if roots.is_empty() {
            let problem = "no trusted certificates on this system; install ca-certificates or set ca_file";
            return Err(BuildError::invalid(destination, problem));
        }
    }
    Ok(roots)
}

/// The certificates that the system trusts.
fn of_system(destination: &Destination) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let name = Path::new("of the system (SSL_CERT_FILE, SSL_CERT_DIR, /etc/ssl)");
    let found = ask(name, |_| Ok(rustls_native_certs::load_native_certs().certs));
    found.map_err(|source| BuildError::file(destination, "the trusted certificates", name, source))
}

fn certificates(destination: &Destination, what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(BuildError::invalid(
            destination,
            format!("{what} holds no certificate in PEM"),
        )),
        Err(error) => Err(BuildError::caused_by(
            error,
            destination,
            format!("{what} is no valid PEM"),
        )),
    }
}
