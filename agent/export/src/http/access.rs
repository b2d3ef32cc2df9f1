//! Who may ask a listener, and how.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

use super::auth::{Auth, AuthFiles};
use super::hosts::AllowedHosts;
use super::tls::{Tls, TlsFiles};
use super::watched::FileError;

/// Access to a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Names by which it may be asked.
    pub hosts: AllowedHosts,
    /// Secrets, of which each request but a probe needs one.
    pub auth: AuthFiles,
    /// Without it the listener speaks plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl Access {
    /// Whether a request needs a secret or a certificate.
    pub fn is_guarded(&self) -> bool {
        let by_certificate = self.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        self.auth != AuthFiles::default() || by_certificate
    }

    /// Whether all files can be used; `key` is that of the address, such as `http.listen`.
    pub fn verify(&self, key: &str) -> Result<(), FileError> {
        Guard::new(key, self).verify()
    }
}

/// Whether the client of a connection has shown an accepted certificate; an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShownCertificate(pub(super) bool);

/// [`Access`] with its files.
pub(super) struct Guard {
    hosts: AllowedHosts,
    auth: Auth,
    pub(super) tls: Option<Tls>,
    wants_certificate: bool,
}

impl Guard {
    pub(super) fn new(key: &str, access: &Access) -> Self {
        let prefix = key.strip_suffix(".listen").unwrap_or(key);
        Self {
            hosts: access.hosts.clone(),
            auth: Auth::new(prefix, &access.auth),
            tls: access.tls.as_ref().map(|files| Tls::new(prefix, files)),
            wants_certificate: access.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()),
        }
    }

    pub(super) fn verify(&self) -> Result<(), FileError> {
        self.tls.as_ref().map_or(Ok(()), Tls::verify)?;
        self.auth.verify()
    }
}

/// Refuses requests that name a foreign host, on every route.
pub(super) async fn refuse_foreign(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.hosts.refusal(request.uri(), request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

/// Refuses requests without certificate or secret, on the routes that are not public.
pub(super) async fn refuse_strangers(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let shown = request.extensions().get::<ShownCertificate>();
    if guard.wants_certificate && !shown.is_some_and(|shown| shown.0) {
        let help = "403: this listener wants a client certificate that client_ca_file has signed.\n";
        return (StatusCode::FORBIDDEN, help).into_response();
    }
    if guard.auth.permits(request.headers()) {
        next.run(request).await
    } else {
        guard.auth.refusal()
    }
}
