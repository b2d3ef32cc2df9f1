//! Errors of a proxy, each with its remedy.

use http::StatusCode;

use super::Proxy;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection through the proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// No connection to the proxy itself.
    #[error("the proxy {proxy} cannot be reached; start it, correct {variable}, or name the destination's host in NO_PROXY", variable = .proxy.variable())]
    Unreachable {
        proxy: Proxy,
        #[source]
        source: Cause,
    },
    /// It broke the connection, or what it sent is no answer of HTTP.
    #[error("the proxy {proxy} did not answer CONNECT {target} as an HTTP proxy does; correct {variable}", variable = .proxy.variable())]
    Broken {
        proxy: Proxy,
        target: String,
        #[source]
        source: Cause,
    },
    /// It answered and made no connection.
    #[error("the proxy {proxy} answered {status} to CONNECT {target}; {remedy}", remedy = remedy(proxy, *.status))]
    Refused {
        proxy: Proxy,
        target: String,
        status: StatusCode,
    },
}

/// What to do about an answer with this status.
fn remedy(proxy: &Proxy, status: StatusCode) -> String {
    let variable = proxy.variable();
    match status.as_u16() {
        407 if proxy.authorization().is_some() => {
            format!("correct the user and password in {variable}; of its ways to log in the agent knows Basic alone")
        }
        407 => format!("write user and password into {variable}, as in http://user:password@host:port"),
        502..=504 => "it cannot reach the destination: correct the endpoint, or name its host in NO_PROXY".to_owned(),
        _ => "let it allow CONNECT to that host and port, or name the host in NO_PROXY".to_owned(),
    }
}

/// The problem where a proxy that forwards requests answers one with 407, and its remedy.
pub(crate) fn wants_credentials(proxy: &Proxy) -> String {
    let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    format!("the proxy {proxy} answered {status}; {}", remedy(proxy, status))
}
