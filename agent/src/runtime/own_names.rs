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
    let mut names: Vec<String> = known.into_iter().flatten().chain([kernels]).collect();
    let short: Vec<String> = names.iter().filter_map(|name| first_label(name)).collect();
    // As multicast DNS has it (RFC 6762).
    names.extend(short.iter().map(|name| format!("{name}.local")));
    names.extend(short);
    let resolver = read_bounded(Path::new(RESOLVER), MAX_BYTES).unwrap_or_default();
    let domains = domains(&String::from_utf8_lossy(&resolver));
    let within = |name: &String| -> Vec<String> { domains.iter().map(|domain| format!("{name}.{domain}")).collect() };
    let all = names
        .iter()
        .flat_map(|name| std::iter::once(name.clone()).chain(within(name)));
    AllowedHosts(all.filter_map(|name| HostPattern::parse(&name).ok()).collect())
}

/// The name without its domain. Nobody else can have such a name, or one in `.local`, in the public DNS.
fn first_label(name: &str) -> Option<String> {
    let first = name.split('.').next().unwrap_or_default();
    let is_name = first.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name.then(|| first.to_owned())
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
    use super::{domains, first_label};

    #[test]
    fn a_machine_is_asked_by_its_short_name_too() {
        assert_eq!(first_label("node1.example.com").as_deref(), Some("node1"));
        assert_eq!(first_label("vm").as_deref(), Some("vm"));
        assert_eq!(first_label("10.0.0.1"), None);
    }

    #[test]
    fn the_resolvers_domains_are_found() {
        let text = "# search commented.example\nnameserver 10.0.0.1\nsearch a.example b.example.\noptions ndots:5\n";
        assert_eq!(domains(text), ["a.example", "b.example"]);
    }
}
