//! Authentication of requests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use accelscope_core::host::bounded::read_regular;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

/// Upper bound of a secret in bytes.
const MAX_SECRET_BYTES: usize = 4096;

/// Authentication of a listener. Secrets are read from their files at each request, so that a rotated one is effective at
/// once; while the file cannot be read, every request is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// No authentication.
    #[default]
    None,
    /// `Authorization: Bearer <token>` (RFC 6750).
    Bearer {
        /// File of the token; a final line break is not part of it.
        token_file: PathBuf,
    },
    /// `Authorization: Basic <user:password in base64>` (RFC 7617).
    Basic {
        /// The user, without a colon.
        user: String,
        /// File of the password; a final line break is not part of it.
        password_file: PathBuf,
    },
}

impl Auth {
    /// Reads the secret once; returns its file and the error if that fails.
    pub(super) fn verify(&self) -> Result<(), (PathBuf, io::Error)> {
        match self {
            Self::None => Ok(()),
            Self::Bearer { token_file: file }
            | Self::Basic {
                password_file: file, ..
            } => match secret(file) {
                Ok(_) => Ok(()),
                Err(error) => Err((file.clone(), error)),
            },
        }
    }

    pub(super) fn permits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        match self {
            Self::None => true,
            Self::Bearer { token_file } => {
                let token = given.and_then(|value| credentials(value, "bearer"));
                token.is_some_and(|token| same_as_secret(token, token_file))
            }
            Self::Basic { user, password_file } => {
                let decoded = given
                    .and_then(|value| credentials(value, "basic"))
                    .and_then(|encoded| STANDARD.decode(encoded).ok())
                    .unwrap_or_default();
                let Some(colon) = decoded.iter().position(|byte| *byte == b':') else {
                    return false;
                };
                let right_user = bool::from(decoded[..colon].ct_eq(user.as_bytes()));
                let right_password = same_as_secret(&decoded[colon + 1..], password_file);
                right_user & right_password
            }
        }
    }

    pub(super) fn refusal(&self) -> Response {
        let challenge = match self {
            Self::Basic { .. } => "Basic realm=\"accelscope\", charset=\"UTF-8\"",
            _ => "Bearer realm=\"accelscope\"",
        };
        let help = "401: this listener wants the credentials that the WWW-Authenticate header names.\n";
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)], help).into_response()
    }
}

fn credentials<'a>(header: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    header[..space]
        .eq_ignore_ascii_case(scheme.as_bytes())
        .then(|| header[space..].trim_ascii())
}

fn same_as_secret(given: &[u8], file: &Path) -> bool {
    match secret(file) {
        Ok(secret) => given.ct_eq(&secret).into(),
        Err(error) => {
            warn_unreadable(file, &error);
            false
        }
    }
}

/// At most one line a minute: any client can cause it.
fn warn_unreadable(file: &Path, error: &io::Error) {
    static WARNED: Mutex<Option<Instant>> = Mutex::new(None);
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.is_none_or(|at| at.elapsed() > Duration::from_mins(1)) {
        *warned = Some(Instant::now());
        tracing::warn!(
            file = %file.display(), %error,
            "refusing everybody: the listener's secret cannot be read; restore the file"
        );
    }
}

fn secret(file: &Path) -> io::Result<Vec<u8>> {
    let text = read_regular(file, MAX_SECRET_BYTES)?;
    let secret = text.strip_suffix(b"\n").unwrap_or(&text);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    if secret.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
    }
    Ok(secret.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn a_rotated_token_is_effective_at_once_and_without_its_file_every_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        let auth = Auth::Bearer {
            token_file: token_file.clone(),
        };
        std::fs::write(&token_file, "first\n").unwrap();
        assert!(auth.permits(&headers("Bearer first")));
        assert!(auth.permits(&headers("bearer  first")));
        for wrong in [
            "Bearer firs",
            "Bearer first2",
            "Bearer ",
            "Bearer",
            "first",
            "Basic first",
        ] {
            assert!(!auth.permits(&headers(wrong)), "{wrong}");
        }
        std::fs::write(&token_file, "second").unwrap();
        assert!(!auth.permits(&headers("Bearer first")));
        assert!(auth.permits(&headers("Bearer second")));
        std::fs::write(&token_file, "").unwrap();
        assert!(!auth.permits(&headers("Bearer ")));
        std::fs::remove_file(&token_file).unwrap();
        assert!(!auth.permits(&headers("Bearer second")));
        assert!(!auth.permits(&HeaderMap::new()));
    }

    #[test]
    fn basic_wants_user_and_password_both_right() {
        let dir = tempfile::tempdir().unwrap();
        let password_file = dir.path().join("password");
        std::fs::write(&password_file, "a:b\n").unwrap();
        let auth = Auth::Basic {
            user: "scraper".into(),
            password_file,
        };
        let basic = |text: &str| headers(&format!("Basic {}", STANDARD.encode(text)));
        assert!(auth.permits(&basic("scraper:a:b")));
        for wrong in ["scraper:a", "scraper:", "other:a:b", ":a:b", "scraper", ""] {
            assert!(!auth.permits(&basic(wrong)), "{wrong}");
        }
        assert!(!auth.permits(&headers("Basic %%%")));
    }
}
