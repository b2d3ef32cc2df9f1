//! HTTP proxies: how an environment variable names one, and the connections that are made through it.

mod connector;
mod error;
mod tunnel;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

pub(crate) use connector::Connector;
pub(crate) use error::wants_credentials;

/// A proxy as an environment variable names it. Neither `Debug` nor `Display` show its user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme, host and port.
    url: Url,
    variable: String,
    /// `Proxy-Authorization`.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Reads `text`, the value of `variable`: a URL, or host and port, which means `http://`. The error does not repeat the
    /// text, which may hold a password.
    pub fn parse(variable: &str, text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "write it like http://proxy.example:3128 or https://user:password@proxy.example:3128";
        let text = text.trim();
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let mut url = Url::parse(&full).map_err(|error| format!("is not the URL of a proxy ({error}); {EXPECTED}"))?;
        if url.scheme().starts_with("socks") {
            return Err(format!(
                "names a SOCKS proxy, which is not supported; {EXPECTED}, or name the destination's host in NO_PROXY"
            ));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!(
                "is not the URL of a proxy over http:// or https://; {EXPECTED}"
            ));
        }
        let rest = [Some(url.path()), url.query(), url.fragment()];
        if rest.into_iter().flatten().any(|part| part.contains('@')) {
            return Err("holds a user or password with #, / or ?; write these as %23, %2F and %3F".to_owned());
        }
        let authorization = authorization(&url);
        // Only a URL without a host refuses these.
        url.set_username("").ok();
        url.set_password(None).ok();
        url.set_path("");
        url.set_query(None);
        url.set_fragment(None);
        Uri::try_from(url.as_str()).map_err(|_| format!("is not the URL of a proxy; {EXPECTED}"))?;
        Ok(Self {
            url,
            variable: variable.to_owned(),
            authorization,
        })
    }

    /// Scheme, host and port.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The variable that names it.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// The header by which a client shows who it is, if the variable holds a user.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// RFC 7617, "Basic".
fn authorization(url: &Url) -> Option<HeaderValue> {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let pair = [
        decoded(url.username()).as_slice(),
        b":",
        &decoded(url.password().unwrap_or_default()),
    ]
    .concat();
    // Base64 has no character that a header may not hold.
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url.as_str().trim_end_matches('/'), self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_become_a_header_and_are_shown_nowhere() {
        let proxy = Proxy::parse(
            "HTTPS_PROXY",
            "HTTPS://me%40here:hunt%3Aer2@Proxy.Example:3128/path?key",
        )
        .unwrap();
        assert_eq!(proxy.to_string(), "https://proxy.example:3128 (HTTPS_PROXY)");
        assert_eq!(proxy.authorization().unwrap(), "Basic bWVAaGVyZTpodW50OmVyMg==");
        assert!(!format!("{proxy:?}").contains("hunt"), "{proxy:?}");
        assert_eq!(Proxy::parse("http_proxy", "proxy:3128").unwrap().authorization(), None);
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_its_password() {
        for (text, expected) in [
            ("socks5h://me:hunter2@proxy:1080", "SOCKS"),
            ("ftp://me:hunter2@proxy", "http://"),
            ("http://me:hunter2@proxy:port", "invalid port"),
            ("http://", "not the URL"),
        ] {
            let problem = Proxy::parse("ALL_PROXY", text).unwrap_err();
            assert!(problem.contains(expected) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
