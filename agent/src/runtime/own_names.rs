//! The names by which this machine is asked.

use std::path::Path;

use accelscope_core::host::bounded::read_bounded;
use accelscope_core::metric::Resource;
use accelscope_core::settings::Textual;
use accelscope_export::http::{AllowedHosts, HostPattern};

/// Its resolver's configuration (resolv.conf(5)).
const RESOLVER: &str = "/etc/resolv.conf";
/// Upper bound of that file in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The host's and the node's name, alone and in the domains in which the resolver looks for names.
pub(super) fn own_names(resource: &Resource) -> AllowedHosts {
    let kernels = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let known = ["host.name", "k8s.node.name"].map(|key| resource.get(key).map(ToString::to_string));
    let names: Vec<String> = known.into_iter().flatten().chain([kernels]).collect();
    let resolver = read_bounded(Path::new(RESOLVER), MAX_BYTES).unwrap_or_default();
    let domains = domains(&String::from_utf8_lossy(&resolver));
    let within = |name: &String| -> Vec<String> { domains.iter().map(|domain| format!("{name}.{domain}")).collect() };
    let all = names
        .iter()
        .flat_map(|name| std::iter::once(name.clone()).chain(within(name)));
    AllowedHosts(all.filter_map(|name| HostPattern::parse(&name).ok()).collect())
}

fn domains(resolver: &str) -> Vec<String> {
    let lines = resolver.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let domains = lines.filter(|words| matches!(words.first(), Some(&("search" | "domain"))));
    domains
        .flat_map(|words| {
            words[1..]
                .iter()
                .map(|domain| domain.trim_end_matches('.').to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::domains;

    #[test]
    fn the_resolvers_domains_are_found() {
        let text = "# search commented.example\nnameserver 10.0.0.1\nsearch a.example b.example.\noptions ndots:5\n";
        assert_eq!(domains(text), ["a.example", "b.example"]);
    }
}
