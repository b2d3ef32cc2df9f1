//! TLS configuration from PEM files.

use std::error::Error;
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
    let builder = trusting(roots(destination, files.ca_file.as_deref())?)?;
    match (&files.cert_file, &files.key_file) {
        (Some(cert), Some(key)) => {
            let chain = certificates(destination, "cert_file", cert)?;
            let pem = read(destination, "key_file", key)?;
            let faulty = |problem: &str, error: Box<dyn Error + Send + Sync>| {
                let problem = format!("key_file {} {problem}", key.display());
                BuildError::caused_by(error, destination, problem)
            };
            let key = PrivateKeyDer::from_pem_slice(&pem);
            let key = key.map_err(|error| faulty("holds no private key in PEM", error.into()))?;
            let with_both = builder.with_client_auth_cert(chain, key);
            with_both.map_err(|error| faulty(&format!("does not fit cert_file {}", cert.display()), error.into()))
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
            trusted.extend(roots(destination, Some(path))?.roots);
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

fn roots(destination: &Destination, ca: Option<&Path>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(destination, "ca_file", ca)? {
            roots.add(certificate).map_err(|error| {
                let problem = format!("ca_file {} holds an unusable certificate", ca.display());
                BuildError::caused_by(error, destination, problem)
            })?;
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

/// The certificates in a file; `what` is the configuration key that names it.
fn certificates(
    destination: &Destination,
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let pem = read(destination, what, path)?;
    let named = |problem| format!("{what} {} {problem}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(BuildError::invalid(destination, named("holds no certificate in PEM"))),
        Err(error) => Err(BuildError::caused_by(error, destination, named("is no valid PEM"))),
    }
}
