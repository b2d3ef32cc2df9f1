//! Whether what is pushed arrives.

mod collector;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::running::Running;
use crate::config::{Config, Proxies, Route};
use crate::status::DestinationState;
use accelscope_core::sampler::Finding;
use accelscope_export::otlp::Destination;

const CONNECT: Duration = Duration::from_secs(2);
/// Limit of addresses that are tried for one name.
const MOST_ADDRESSES: usize = 4;

/// Findings of all destinations: what the running agent says of them, or else whether they can be reached from here.
pub(super) fn destinations(config: &Config, running: &Running) -> Vec<Finding> {
    let configured = config.destinations();
    let mut found: Vec<Finding> = configured
        .iter()
        .flat_map(|to| of_one(to, &config.proxies, running))
        .collect();
    let is_unknown = |state: &&DestinationState| configured.iter().all(|to| to.name != state.name);
    found.extend(running.destinations().filter(is_unknown).map(|state| {
        let mut finding = pushing(state);
        let endpoint = &state.endpoint;
        finding
            .what
            .push_str(&format!("; it is {endpoint}, which this configuration does not have"));
        finding
    }));
    found
}

fn of_one(to: &Destination, proxies: &Proxies, running: &Running) -> Vec<Finding> {
    let (name, endpoint) = (&to.name, to.shown_endpoint());
    let mut found = match running.destination(name) {
        Some(state) if state.endpoint == endpoint => {
            let mut finding = pushing(state);
            let way = way(to, proxies);
            if !way.is_empty() {
                finding.what.push_str(&format!("; it is reached{way}"));
            }
            vec![finding]
        }
        Some(state) => {
            let what = format!(
                "destination {name}: the running agent still pushes to {}",
                state.endpoint
            );
            vec![Finding::warn("otlp", what).with_remedy(RELOAD), reached(to, proxies)]
        }
        None if running.is_found() => {
            let what = format!("destination {name}: the running agent does not push to {endpoint}");
            vec![Finding::warn("otlp", what).with_remedy(RELOAD), reached(to, proxies)]
        }
        None => vec![reached(to, proxies)],
    };
    found.extend(collector::behind(to));
    found
}

const RELOAD: &str = "reload it (SIGHUP, systemctl reload) or restart it";

/// How pushing to it goes, as the running agent sees it.
fn pushing(state: &DestinationState) -> Finding {
    let DestinationState {
        name,
        waiting_points,
        sent,
        dropped,
        ..
    } = state;
    let counts = format!("{sent} points arrived, {waiting_points} wait, {dropped} were dropped");
    let error = state.last_error.as_deref().unwrap_or("no answer yet");
    let remedy = state.last_remedy.as_deref();
    if let Some(reason) = &state.blocked {
        let what = format!("destination {name} refuses everything ({reason}): {error}; {counts}");
        let remedy = remedy.unwrap_or("the agent's log says what to change");
        return Finding::warn("otlp", what).with_remedy(format!(
            "{remedy}; nothing is dropped while the queue (otlp.queue_bytes) holds it"
        ));
    }
    // One record may be on its way at any time.
    if state.is_failing || state.waiting_records > 1 || (*sent == 0 && state.last_error.is_some()) {
        let what = format!("destination {name} does not take what is sent: {error}; {counts}");
        let remedy = remedy.unwrap_or("start the receiver or correct otlp.endpoint");
        return Finding::warn("otlp", what)
            .with_remedy(format!("{remedy}; points wait in the queue (otlp.queue_bytes)"));
    }
    let warned = match state.last_warning.as_deref() {
        None => String::new(),
        Some("") => "; it took some only in part, without a reason".to_owned(),
        Some(warning) => format!("; of what it took or took in part it said: {warning}"),
    };
    if *dropped > 0 {
        let what = format!("destination {name}: {counts}; the last error was: {error}{warned}");
        return Finding::warn("otlp", what).with_remedy("agent.export.dropped says why, by reason");
    }
    if !warned.is_empty() {
        let what = format!("destination {name}: {counts}{warned}");
        return Finding::warn("otlp", what).with_remedy("see the receiver's log and limits");
    }
    Finding::ok("otlp", format!("destination {name}: {counts}"))
}

/// How the environment's proxies matter to a destination; nothing where they do not.
fn way(destination: &Destination, proxies: &Proxies) -> String {
    match (&destination.proxy, proxies.route(&destination.endpoint)) {
        (Some(proxy), _) => format!(" through the proxy {proxy}"),
        (None, Route::Excepted(why)) => format!(" directly ({why})"),
        _ => String::new(),
    }
}

/// Whether it can be reached from here.
fn reached(destination: &Destination, proxies: &Proxies) -> Finding {
    let Destination { name, endpoint, .. } = destination;
    let shown = destination.shown_endpoint();
    let way = way(destination, proxies);
    let (url, subject, remedy) = match &destination.proxy {
        Some(proxy) => (
            proxy.url(),
            format!("{shown} is reached{way}, which"),
            format!(
                "start the proxy, correct {}, or name the host in NO_PROXY",
                proxy.variable()
            ),
        ),
        None => (
            endpoint,
            format!("{shown}{way}"),
            "start the receiver or correct otlp.endpoint".to_owned(),
        ),
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(4317);
    let reached = (host, port).to_socket_addrs().and_then(connect);
    match reached {
        Ok(_) => Finding::ok("otlp", format!("destination {name}: {subject} accepts connections")),
        Err(error) => Finding::warn(
            "otlp",
            format!("destination {name}: {subject} cannot be reached: {error}"),
        )
        .with_remedy(format!(
            "{remedy}; until then points wait in the queue (otlp.queue_bytes)"
        )),
    }
}

/// Connects to the first address that accepts: `localhost` has two, and a receiver often listens on one of them.
fn connect(addresses: impl Iterator<Item = SocketAddr>) -> std::io::Result<TcpStream> {
    let mut failed = std::io::Error::other("the name has no address");
    for address in addresses.take(MOST_ADDRESSES) {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_receiver_that_listens_on_one_of_its_names_addresses_is_reached() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = free_port::free_address();
        let reached = connect([closed, open.local_addr().unwrap()].into_iter()).unwrap();
        assert_eq!(reached.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(connect([closed].into_iter()).is_err() && connect(std::iter::empty()).is_err());
    }
}
