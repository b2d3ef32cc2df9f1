//! Names by which a listener may be asked.
//!
//! A page in somebody's browser can point a name of its own at this machine's address (DNS rebinding) and then read what a
//! listener answers. The `Host` header shows that: the browser names the page's host.

use std::net::IpAddr;

use accelscope_core::printable::printable;
use accelscope_core::settings::Textual;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// A name by which listeners may be asked, or many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`.
    Any,
    /// A name, in lower case.
    Name(String),
    /// `*.example.com`: every name that ends in this one, which begins with a dot.
    Below(String),
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(name) => name == host,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end),
        }
    }
}

impl Textual for HostPattern {
    const EXPECTED: &'static str = "a host name, or \"*.\" and the end of names";
    const BARE: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let is_name = |name: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            name.split('.')
                .all(|label| !label.is_empty() && label.chars().all(known))
        };
        match lower.strip_prefix("*.") {
            _ if lower == "*" => Ok(Self::Any),
            Some(end) if is_name(end) => Ok(Self::Below(format!(".{end}"))),
            None if is_name(&lower) => Ok(Self::Name(lower)),
            _ => Err(format!(
                "{text:?} is not a host name; write a name without scheme and port, \"*.example.com\" for all below it, or \
                 \"*\" for every name (addresses and localhost are always allowed)"
            )),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Name(name) => name.clone(),
            Self::Below(end) => format!("*{end}"),
        }
    }
}

/// Names that are allowed beside addresses and `localhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(pub Vec<HostPattern>);

impl AllowedHosts {
    /// The answer to a request that names another host. Without a name, as in HTTP/1.0, a request is not from a browser.
    pub(super) fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let named: Vec<_> = headers.get_all(HOST).iter().collect();
        if named.len() > 1 {
            let help = "400: more than one Host header.\n";
            return Some((StatusCode::BAD_REQUEST, help).into_response());
        }
        let given = named.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        // A request for a proxy has the name in its first line, where it takes precedence.
        let absolute = uri.authority().map(|authority| authority.as_str().into());
        let foreign = given.chain(absolute).find(|text| !self.allows(text))?;
        let help = format!(
            "421: this agent is not known as {:?}. Ask it by its address, by localhost or by its machine's name, or add the \
             name to http.allowed_hosts.\n",
            printable(&foreign)
        );
        Some((StatusCode::MISDIRECTED_REQUEST, help).into_response())
    }

    fn allows(&self, text: &str) -> bool {
        let Ok(authority) = text.parse::<Authority>() else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        // The host of an authority ends with the bracket, whatever follows.
        let port = &authority.as_str()[host.len()..];
        let is_port = port
            .strip_prefix(':')
            .is_none_or(|digits| digits.chars().all(|c| c.is_ascii_digit()));
        if !is_port || !(port.is_empty() || port.starts_with(':')) || host.starts_with('.') {
            return false;
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        // A link-local address has a zone.
        let address = bare.split('%').next().unwrap_or(bare);
        if address.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.0.iter().any(|pattern| pattern.matches(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_allowed() {
        let patterns = ["Node1", "*.mon.svc"].map(|text| HostPattern::parse(text).unwrap());
        let hosts = AllowedHosts(patterns.into());
        for known in [
            "127.0.0.1",
            "10.0.0.7:9464",
            "[::1]:9464",
            "[fd00::7]",
            "localhost",
            "LOCALHOST.:9464",
            "a.localhost",
            "node1:9464",
            "NODE1",
            "x.mon.svc",
            "x.y.mon.svc:1",
        ] {
            assert!(hosts.allows(known), "{known}");
        }
        for foreign in [
            "",
            "evil.example",
            "node1.evil.example",
            "mon.svc",
            "xmon.svc",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "[::1]evil.example",
            "[::1].evil.example",
            "..mon.svc",
            "node1/evil",
            "a b",
            "xlocalhost",
        ] {
            assert!(!hosts.allows(foreign), "{foreign}");
        }
        assert!(AllowedHosts(vec![HostPattern::Any]).allows("evil.example"));
    }

    #[test]
    fn a_pattern_is_a_name() {
        for wrong in ["", "http://x", "x:9464", "*x", "*.", "a..b", "x/y", "[::1]"] {
            assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
