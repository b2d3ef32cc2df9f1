//! Proxies that the environment names: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
//!
//! There is no standard. As in curl, the variable of the endpoint's scheme comes before `ALL_PROXY` and a name in lower case
//! before the same in upper case; as in Go, `NO_PROXY` may name networks and ports, and this machine itself is always
//! reached directly.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::Environment;
use accelscope_export::Proxy;

/// Set by a web server for a program that it runs. The header `Proxy` of a request is `HTTP_PROXY` there, so that whoever
/// sends it would choose the proxy ("httpoxy").
const CGI: &str = "REQUEST_METHOD";

/// The proxies of an environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    no_proxy: Vec<Exception>,
    no_proxy_variable: String,
}

/// A variable, and the proxy or what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    variable: String,
    proxy: Result<Proxy, String>,
}

/// How an endpoint is reached.
#[derive(Debug, PartialEq)]
pub enum Route<'a> {
    /// No variable names a proxy for it.
    Direct,
    /// A variable names one, and an exception applies: the text says which.
    Excepted(String),
    /// Through this one.
    Through(&'a Proxy),
    /// The variable names a proxy that cannot be used.
    Unusable {
        /// The variable.
        variable: &'a str,
        /// What is wrong, without the value.
        problem: &'a str,
    },
}

impl Proxies {
    /// Reads the variables. Those that have no effect are warned of.
    pub(super) fn of(env: &Environment, warnings: &mut Vec<String>) -> Self {
        let all = named(env, &["all_proxy", "ALL_PROXY"]);
        let mut http: &[&str] = &["http_proxy", "HTTP_PROXY"];
        if env.get(CGI).is_some() {
            http = &http[..1];
            if env.get("HTTP_PROXY").is_some() && env.get("http_proxy").is_none() {
                warnings.push(format!(
                    "environment variable HTTP_PROXY: has no effect, since {CGI} is set as in a CGI program, whose clients \
                     choose its value; write http_proxy"
                ));
            }
        }
        let mut proxies = Self {
            http: named(env, http).or_else(|| all.clone()),
            https: named(env, &["https_proxy", "HTTPS_PROXY"]).or(all),
            ..Self::default()
        };
        if let Some((variable, text)) = first(env, &["no_proxy", "NO_PROXY"]) {
            variable.clone_into(&mut proxies.no_proxy_variable);
            let entries = text
                .unwrap_or_default()
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|entry| !entry.is_empty());
            for entry in entries {
                match Exception::parse(&entry.to_lowercase()) {
                    Ok(exception) => proxies.no_proxy.push(exception),
                    Err(problem) => warnings.push(format!("environment variable {variable}: {entry:?} {problem}")),
                }
            }
        }
        proxies
    }

    /// The way to `endpoint`.
    pub fn route(&self, endpoint: &Url) -> Route<'_> {
        let named = if endpoint.scheme() == "https" {
            &self.https
        } else {
            &self.http
        };
        let (Some(named), Some(host)) = (named, endpoint.host()) else {
            return Route::Direct;
        };
        if is_this_machine(&host) {
            return Route::Excepted("this machine is reached directly".to_owned());
        }
        let port = endpoint.port_or_known_default().unwrap_or_default();
        if self.no_proxy.iter().any(|exception| exception.covers(&host, port)) {
            return Route::Excepted(format!("{} names it", self.no_proxy_variable));
        }
        match &named.proxy {
            Ok(proxy) => Route::Through(proxy),
            Err(problem) => Route::Unusable {
                variable: &named.variable,
                problem,
            },
        }
    }
}

/// The first of these variables that is set.
fn first<'a>(env: &'a Environment, names: &[&'static str]) -> Option<(&'static str, Result<&'a str, &'static str>)> {
    names.iter().find_map(|name| Some((*name, env.get(name)?)))
}

fn named(env: &Environment, names: &[&'static str]) -> Option<Named> {
    let (variable, text) = first(env, names)?;
    Some(Named {
        variable: variable.to_owned(),
        proxy: text
            .map_err(str::to_owned)
            .and_then(|text| Proxy::parse(variable, text)),
    })
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => is_own(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_own(address.to_canonical()),
    }
}

/// A connection to the unspecified address is one to this machine.
const fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq)]
enum Exception {
    /// `*`
    Everything,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    /// A host and all below it, without a leading dot.
    Domain(String, Option<u16>),
}

impl Exception {
    /// Reads an entry in lower case. Hosts are read as those of URLs, so that `bücher.example` is `xn--bcher-kva.example` on
    /// both sides. The error says what is wrong with it, and how to write it.
    fn parse(entry: &str) -> Result<Self, &'static str> {
        const NO_HOST: &str =
            "is no host and has no effect; write it like example.com, .example.com, example.com:4318 or *";
        if entry == "*" {
            return Ok(Self::Everything);
        }
        if entry.contains("://") {
            return Err("is a URL and has no effect; write its host, or host:port");
        }
        if let Some((address, length)) = entry.split_once('/') {
            let network = format!("{}/{length}", bare(address)).parse();
            let network =
                network.map_err(|_| "is not a network and has no effect; write it like 10.0.0.0/8 or fd00::/8");
            return network.map(canonical).map(Self::Network);
        }
        if let Ok(address) = bare(entry).parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical(), None));
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| NO_HOST)?)),
            None => (entry, None),
        };
        if let Ok(address) = bare(host).parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical(), port));
        }
        let domain = host.strip_prefix('*').unwrap_or(host).trim_matches('.');
        match Host::parse(domain).map_err(|_| NO_HOST)? {
            Host::Domain(domain) if !domain.contains('*') => Ok(Self::Domain(domain, port)),
            Host::Domain(_) => Err(NO_HOST),
            Host::Ipv4(address) => Ok(Self::Address(address.into(), port)),
            Host::Ipv6(address) => Ok(Self::Address(address.to_canonical(), port)),
        }
    }

    fn covers(&self, host: &Host<&str>, port: u16) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
        };
        let is_port = |only: &Option<u16>| only.is_none_or(|only| only == port);
        match (self, host) {
            (Self::Everything, _) => true,
            (Self::Network(network), _) => address.is_some_and(|address| network.contains(&address)),
            (Self::Address(only, only_port), _) => address == Some(*only) && is_port(only_port),
            (Self::Domain(domain, only_port), Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let above = name.strip_suffix(domain.as_str());
                let is_below = above.is_some_and(|above| above.is_empty() || above.ends_with('.'));
                is_below && is_port(only_port)
            }
            (Self::Domain(..), _) => false,
        }
    }
}

/// An address without the brackets that it has in a URL.
fn bare(address: &str) -> &str {
    let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(address)
}

/// A network of IPv4 that is written as one of IPv6 (`::ffff:10.0.0.0/104`) as what it is, like the addresses.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(network) => network
            .addr()
            .to_ipv4_mapped()
            .zip(network.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    let shorter = mapped.and_then(|(address, length)| IpNet::new(address.into(), length).ok());
    shorter.unwrap_or(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(variables: &[(&str, &str)], endpoint: &str) -> String {
        let mut warnings = Vec::new();
        let proxies = Proxies::of(&variables.iter().copied().collect(), &mut warnings);
        let shown = match proxies.route(&endpoint.parse().unwrap()) {
            Route::Direct => "direct".to_owned(),
            Route::Excepted(why) => format!("direct: {why}"),
            Route::Through(proxy) => proxy.to_string(),
            Route::Unusable { variable, problem } => format!("{variable} {problem}"),
        };
        [vec![shown], warnings].concat().join("; ")
    }

    #[test]
    fn the_scheme_of_the_endpoint_chooses_the_variable_and_lower_case_comes_first() {
        let both = [("HTTP_PROXY", "plain:1"), ("HTTPS_PROXY", "http://secure:2")];
        assert_eq!(route(&both, "http://c.example:4318"), "http://plain:1 (HTTP_PROXY)");
        assert_eq!(route(&both, "https://c.example:4318"), "http://secure:2 (HTTPS_PROXY)");
        assert_eq!(route(&both[..1], "https://c.example"), "direct");
        let all = [
            ("ALL_PROXY", "all:3"),
            ("https_proxy", "lower:4"),
            ("HTTPS_PROXY", "upper:5"),
        ];
        assert_eq!(route(&all, "http://c.example"), "http://all:3 (ALL_PROXY)");
        assert_eq!(route(&all, "https://c.example"), "http://lower:4 (https_proxy)");
        assert_eq!(route(&[("HTTPS_PROXY", "")], "https://c.example"), "direct");
    }

    #[test]
    fn in_a_cgi_program_the_header_of_a_request_chooses_no_proxy() {
        let cgi = [("REQUEST_METHOD", "POST"), ("HTTP_PROXY", "evil:1")];
        let shown = route(&cgi, "http://c.example");
        assert!(
            shown.starts_with("direct; ") && shown.contains("write http_proxy"),
            "{shown}"
        );
        let own = [
            ("REQUEST_METHOD", "POST"),
            ("http_proxy", "good:1"),
            ("HTTP_PROXY", "evil:1"),
        ];
        assert_eq!(route(&own, "http://c.example"), "http://good:1 (http_proxy)");
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "otel.localhost",
            "0.0.0.0",
            "[::]",
            "[::ffff:127.0.0.1]",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
        ] {
            let shown = route(&[("ALL_PROXY", "p:1")], &format!("http://{host}:4317"));
            assert_eq!(shown, "direct: this machine is reached directly", "{host}");
        }
    }

    #[test]
    fn exceptions_are_hosts_domains_ports_addresses_and_networks() {
        let is_excepted = |no_proxy, host: &str| {
            let shown = route(
                &[("ALL_PROXY", "p:1"), ("NO_PROXY", no_proxy)],
                &format!("https://{host}/v1/metrics"),
            );
            assert!(
                ["direct: NO_PROXY names it", "http://p:1 (ALL_PROXY)"].contains(&shown.as_str()),
                "{shown}"
            );
            shown.starts_with("direct")
        };
        for (no_proxy, excepted, not) in [
            ("example.com", "example.com", "notexample.com"),
            ("a,Example.COM , b", "otel.example.com", "example.com.evil"),
            (".example.com", "otel.example.com", "example.org"),
            ("*.example.com", "otel.example.com", "anexample.com"),
            ("example.com.", "example.com.", "com"),
            ("example.com:4318", "otel.example.com:4318", "otel.example.com:4317"),
            ("example.com:443", "example.com", "example.com:4318"),
            ("10.1.2.3", "10.1.2.3:4318", "10.1.2.4:4318"),
            ("10.1.2.3:4318", "10.1.2.3:4318", "10.1.2.3"),
            ("10.0.0.0/8", "10.255.1.1", "11.0.0.1"),
            ("fd00::/8 2001:db8::1", "[fd12::1]", "[2001:db8::2]"),
            ("[2001:db8::1]:4318", "[2001:db8::1]:4318", "[2001:db8::1]"),
            ("10.0.0.0/8", "10.0.0.1", "10.0.0.1.example.com"),
            ("[2001:db8::]/32", "[2001:db8:1::1]:4318", "[2001:db9::1]"),
            ("2001:DB8::/32", "[2001:db8::1]", "[2001:db9::1]"),
            ("[2001:DB8::1]", "[2001:db8:0::1]:4317", "[2001:db8::2]"),
            ("10.1.2.3/8", "10.255.1.1", "11.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.1.1.1", "11.0.0.1"),
            ("::ffff:10.1.2.3", "[::ffff:10.1.2.3]", "10.1.2.4"),
            ("10.1.2.3.", "10.1.2.3", "10.1.2.4"),
            ("bücher.example", "otel.xn--bcher-kva.example", "bucher.example"),
            ("xn--bcher-kva.example", "bücher.example", "xn--bcher.example"),
            (".BÜCHER.example.:4318", "BÜCHER.example:4318", "bücher.example:4317"),
            ("EXAMPLE.com.:4318", "otel.Example.COM.:4318", "example.com"),
            ("a_b.svc", "x.a_b.svc", "ab.svc"),
        ] {
            assert!(is_excepted(no_proxy, excepted), "{no_proxy} {excepted}");
            assert!(!is_excepted(no_proxy, not), "{no_proxy} {not}");
        }
        assert!(is_excepted("*", "anything.at.all"));
        assert!(!is_excepted("", "example.com"));
    }

    #[test]
    fn an_exception_without_effect_is_warned_of() {
        for (entry, problem) in [
            ("10.0.0.0/99", "is not a network"),
            ("10.0.0.0/8:4318", "is not a network"),
            ("fd00::1/", "is not a network"),
            ("https://example.com/", "is a URL"),
            (".", "is no host"),
            ("*:4318", "is no host"),
            ("example.*", "is no host"),
            ("example.com:otlp", "is no host"),
            ("[fd00::1", "is no host"),
        ] {
            let shown = route(&[("ALL_PROXY", "p:1"), ("NO_PROXY", entry)], "http://10.0.0.1");
            let expected = format!("environment variable NO_PROXY: \"{entry}\" {problem} and has no effect; write");
            assert!(shown.contains(&expected), "{entry}: {shown}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_matters_only_where_it_would_be_used() {
        let socks = [("all_proxy", "socks5://me:hunter2@p:1080"), ("NO_PROXY", "example.com")];
        let shown = route(&socks, "http://c.example.org");
        assert!(
            shown.starts_with("all_proxy names a SOCKS proxy, which is not supported"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(route(&socks, "http://c.example.com"), "direct: NO_PROXY names it");
    }
}
