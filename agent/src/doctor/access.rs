//! Whether strangers can ask the listeners.

use crate::config::Config;
use accelscope_core::sampler::Finding;
use accelscope_export::http::AllowedHosts;

/// A finding for each listener whose files cannot be used, or that the network reaches without TLS or authentication.
pub(super) fn access(config: &Config) -> Vec<Finding> {
    let check = |(key, address): (&'static str, std::net::SocketAddr)| {
        let access = config.access(key, &AllowedHosts::default());
        if let Err(error) = access.verify(key) {
            return Some(
                Finding::fail("http", error.to_string()).with_remedy("correct the file, or the key that names it"),
            );
        }
        let missing = match (access.tls.is_some(), access.is_guarded()) {
            _ if address.ip().to_canonical().is_loopback() => return None,
            (true, true) => return None,
            (false, false) => "TLS and authentication",
            (false, true) => "TLS",
            (true, false) => "authentication",
        };
        let section = key.strip_suffix(".listen").unwrap_or(key);
        let what = format!("{key} = {address} can be asked from the network without {missing}");
        Some(Finding::warn("http", what).with_remedy(format!(
            "set {section}.tls.cert_file, {section}.tls.key_file and {section}.auth.bearer_token_file, or let only the \
             scraper reach it (firewall, NetworkPolicy)"
        )))
    };
    config.listeners().into_iter().filter_map(check).collect()
}
