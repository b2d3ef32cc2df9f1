//! OTLP endpoints as configured.

use std::fmt;

use url::Url;

use accelscope_core::settings::textual::Textual;
use accelscope_export::otlp::{Protocol, shown};

/// Path of metrics over HTTP (OTLP specification, "OTLP/HTTP Request").
const METRICS_PATH: &str = "/v1/metrics";

/// An OTLP endpoint before protocol and security are known.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    http: Url,
    https: Url,
    scheme: Option<&'static str>,
    /// Used without appending a path: it came from the variable of the metrics endpoint.
    pub(super) exact: bool,
}

impl Endpoint {
    /// URL if no endpoint is configured.
    pub(super) fn default_for(protocol: Protocol) -> Url {
        let text = match protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::HttpProtobuf => "http://localhost:4318/v1/metrics",
        };
        #[expect(clippy::expect_used, reason = "both texts stand above")]
        Url::parse(text).expect("a URL")
    }

    /// Whether the scheme `http://` or `https://` was given.
    pub(super) fn has_scheme(&self) -> bool {
        self.scheme.is_some()
    }

    /// Whether the URL has a path or a query, which gRPC does not use.
    pub(super) fn has_path(&self) -> bool {
        self.http.path() != "/" || self.http.query().is_some()
    }

    /// URL of the requests. `insecure` applies only if no scheme was given.
    pub(super) fn resolve(&self, protocol: Protocol, insecure: bool) -> Url {
        let plain = self.scheme.map_or(insecure, |scheme| scheme == "http");
        let mut url = if plain { self.http.clone() } else { self.https.clone() };
        match protocol {
            Protocol::Grpc => {
                url.set_path("");
                url.set_query(None);
            }
            Protocol::HttpProtobuf if !self.exact => {
                let base = url.path().trim_end_matches('/');
                if !base.ends_with(METRICS_PATH) {
                    let path = format!("{base}{METRICS_PATH}");
                    url.set_path(&path);
                }
            }
            Protocol::HttpProtobuf => {}
        }
        url
    }
}

impl fmt::Debug for Endpoint {
    /// Without the query, which may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(if self.scheme == Some("http") {
            &self.http
        } else {
            &self.https
        }))
    }
}

impl Textual for Endpoint {
    const EXPECTED: &'static str = "an endpoint such as \"http://localhost:4317\"";

    // The value is not repeated: it may contain a password.
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            // RFC 3986, "Scheme": in any case.
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some("http"), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some("https"), rest),
            Some((other, _)) if other.chars().all(|c| c.is_ascii_alphabetic()) => {
                return Err(format!(
                    "{other:?} is no scheme of OTLP; write http:// or https://, host and port"
                ));
            }
            Some(_) => return Err("has no scheme of OTLP; write http:// or https://, host and port".to_owned()),
            None => (None, text),
        };
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{rest}"))
                .map_err(|error| format!("not an endpoint ({error}); write it like http://localhost:4317"))
        };
        let (http, https) = (parse("http")?, parse("https")?);
        if !http.username().is_empty() || http.password().is_some() {
            return Err(
                "must hold no user and password; give them as a header \"authorization\", \
                 best in the file named by headers_file"
                    .to_owned(),
            );
        }
        if http.fragment().is_some() {
            return Err("must hold no \"#\"".to_owned());
        }
        Ok(Self {
            http,
            https,
            scheme,
            exact: false,
        })
    }

    fn show(&self) -> String {
        match self.scheme {
            Some("https") => self.https.to_string(),
            Some(_) => self.http.to_string(),
            None => self.http.as_str().trim_start_matches("http://").to_owned(),
        }
    }
}
