//! Authentication of requests by secrets in files.

use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::LogLimiter;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq};

use super::watched::{FileError, Named, Watched};

/// Beginnings of password hashes, of htpasswd(1), crypt(5) and Prometheus' web configuration.
const HASHES: [&str; 7] = ["$2", "$apr1$", "$1$", "$5$", "$6$", "$y$", "{SHA"];

/// Files of the secrets that a listener accepts; any one of them is enough. They are secrets of machines, long and random, so
/// that a hash which is slow to compute would protect nothing and cost a node up to a tenth of a second for each scrape: what
/// protects them is the mode of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthFiles {
    /// Tokens for `Authorization: Bearer <token>` (RFC 6750), one a line: two while one replaces the other.
    pub bearer_token_file: Option<PathBuf>,
    /// `user:password`, one a line, for `Authorization: Basic` (RFC 7617).
    pub basic_users_file: Option<PathBuf>,
}

/// Authentication of a listener. While no file can be used every request is refused.
pub(super) struct Auth {
    tokens: Option<Watched<Vec<Vec<u8>>>>,
    users: Option<Watched<Vec<Vec<u8>>>>,
    unusable: LogLimiter,
}

impl Auth {
    /// `prefix` is that of the keys, such as `http`.
    pub(super) fn new(prefix: &str, files: &AuthFiles) -> Self {
        let watched = |key: &str, file: &Option<PathBuf>, check: fn(&str) -> Option<&'static str>| {
            let named = Named {
                key: format!("{prefix}.auth.{key}"),
                file: file.clone()?,
            };
            Some(Watched::new(vec![named.clone()], move |contents| {
                entries(&named, &contents[0], check)
            }))
        };
        Self {
            tokens: watched("bearer_token_file", &files.bearer_token_file, wrong_token),
            users: watched("basic_users_file", &files.basic_users_file, wrong_user),
            unusable: LogLimiter::new(Duration::from_mins(1)),
        }
    }

    /// Reads the files once.
    pub(super) fn verify(&self) -> Result<(), FileError> {
        let mut files = self.tokens.iter().chain(&self.users);
        files.try_for_each(|file| file.get().map(drop))
    }

    pub(super) fn permits(&self, headers: &HeaderMap) -> bool {
        if self.tokens.is_none() && self.users.is_none() {
            return true;
        }
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (all.next(), all.next()) else {
            return false;
        };
        let given = given.as_bytes();
        let (tokens, users) = (self.tokens.as_ref(), self.users.as_ref());
        if let (Some(tokens), Some(token)) = (tokens, credentials(given, "bearer")) {
            return self.has(tokens, token);
        }
        let pair = credentials(given, "basic").and_then(|encoded| STANDARD.decode(encoded).ok());
        users.zip(pair).is_some_and(|(users, pair)| self.has(users, &pair))
    }

    /// Whether the file has the secret. It takes as long for a wrong secret of the same length, whatever of it is right.
    fn has(&self, file: &Watched<Vec<Vec<u8>>>, given: &[u8]) -> bool {
        match file.get() {
            Ok(secrets) => secrets
                .iter()
                .fold(Choice::from(0), |any, secret| any | given.ct_eq(secret))
                .into(),
            Err(error) => {
                // Any client can cause it.
                if self.unusable.admit("auth").is_some() {
                    tracing::warn!(%error, "refusing every request, since the listener's secrets cannot be read");
                }
                false
            }
        }
    }

    pub(super) fn refusal(&self) -> Response {
        let bearer = self
            .tokens
            .as_ref()
            .map(|_| (WWW_AUTHENTICATE, "Bearer realm=\"accelscope\""));
        let basic = (self.users.as_ref()).map(|_| (WWW_AUTHENTICATE, "Basic realm=\"accelscope\", charset=\"UTF-8\""));
        let challenges: Vec<_> = bearer.into_iter().chain(basic).collect();
        let help = "401: this listener wants the credentials that the WWW-Authenticate header names.\n";
        (StatusCode::UNAUTHORIZED, AppendHeaders(challenges), help).into_response()
    }
}

/// What follows the scheme.
fn credentials<'a>(header: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    header[..space]
        .eq_ignore_ascii_case(scheme.as_bytes())
        .then(|| header[space..].trim_ascii())
}

/// The lines of the file that are neither empty nor comments.
fn entries(named: &Named, content: &[u8], check: fn(&str) -> Option<&'static str>) -> Result<Vec<Vec<u8>>, FileError> {
    let text = std::str::from_utf8(content).map_err(|_| named.error("is not UTF-8 text"))?;
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let checked = lines.map(|(at, line)| match check(line) {
        // Not the line itself: it is a secret.
        Some(problem) => Err(named.error(format!("line {}: {problem}", at + 1))),
        None => Ok(line.as_bytes().to_vec()),
    });
    let secrets: Vec<_> = checked.collect::<Result<_, _>>()?;
    if secrets.is_empty() {
        return Err(named.error("holds no secret; write one a line"));
    }
    Ok(secrets)
}

fn wrong_token(line: &str) -> Option<&'static str> {
    (!line.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some("a token has visible ASCII characters and no spaces; write the token alone, without \"Bearer\"")
}

fn wrong_user(line: &str) -> Option<&'static str> {
    let Some((user, password)) = line.split_once(':') else {
        return Some("is not user:password");
    };
    if user.is_empty() || password.is_empty() {
        return Some("a user and a password are not empty");
    }
    HASHES.iter().any(|hash| password.starts_with(hash)).then_some(
        "holds a hash; write the password itself, long and random, and let only the agent's user read the file",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, authorization.parse().unwrap())])
    }

    fn basic(text: &str) -> HeaderMap {
        headers(&format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn a_rotated_token_is_effective_at_once_and_without_its_file_every_request_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let token_file = dir.path().join("token");
        let files = AuthFiles {
            bearer_token_file: Some(token_file.clone()),
            basic_users_file: None,
        };
        let auth = Auth::new("http", &files);
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
        let mut twice = headers("Bearer first");
        twice.append(AUTHORIZATION, "Bearer first".parse().unwrap());
        assert!(!auth.permits(&twice));
        std::fs::write(&token_file, "first\nother").unwrap();
        assert!(auth.permits(&headers("Bearer first")) && auth.permits(&headers("Bearer other")));
        std::fs::write(&token_file, "third").unwrap();
        assert!(!auth.permits(&headers("Bearer first")));
        assert!(auth.permits(&headers("Bearer third")));
        std::fs::write(&token_file, "").unwrap();
        assert!(!auth.permits(&headers("Bearer ")));
        std::fs::remove_file(&token_file).unwrap();
        assert!(!auth.permits(&headers("Bearer third")));
        assert!(!auth.permits(&HeaderMap::new()));
    }

    #[test]
    fn basic_wants_user_and_password_both_right() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        std::fs::write(&file, "# scrapers\nscraper:a:b\nother:c\n").unwrap();
        let files = AuthFiles {
            bearer_token_file: None,
            basic_users_file: Some(file),
        };
        let auth = Auth::new("http", &files);
        assert!(auth.permits(&basic("scraper:a:b")) && auth.permits(&basic("other:c")));
        for wrong in [
            "scraper:a",
            "scraper:",
            "other:a:b",
            ":a:b",
            "scraper",
            "",
            "# scrapers",
        ] {
            assert!(!auth.permits(&basic(wrong)), "{wrong}");
        }
        assert!(!auth.permits(&headers("Basic %%%")));
        assert!(!auth.permits(&headers("Bearer scraper:a:b")));
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_without_showing_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        for (text, part) in [
            ("", "no secret"),
            ("scraper", "line 1"),
            ("a:b\nscraper:$2y$10$hunter2", "line 2: holds a hash"),
        ] {
            std::fs::write(&file, text).unwrap();
            let files = AuthFiles {
                bearer_token_file: None,
                basic_users_file: Some(file.clone()),
            };
            let error = Auth::new("compat.x", &files).verify().unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("compat.x.auth.basic_users_file"),
                "{error}"
            );
            assert!(
                error.contains(file.to_str().unwrap()) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
