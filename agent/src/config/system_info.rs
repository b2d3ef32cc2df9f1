//! Variables of the replaced system-info-exporter, which mean what they meant there while its view is on.
//!
//! They take precedence over the file and, since the view must be turned on with some address, over the agent's own variable of
//! that address; a flag stays.

use std::net::{IpAddr, SocketAddr};

use accelscope_core::settings::textual::Textual;

use super::layers::{KeyPath, Leaf, Merged, Raw};
use super::{ConfigError, Environment, Origin};

const SECTION: [&str; 2] = ["compat", "system_info_exporter"];
const HOST: &str = "APP__SERVER__HOST";
const PORT: &str = "APP__SERVER__PORT";
const NODE: &str = "NODE_NAME";

/// Lays the variables over the values of lower precedence if the view is on.
pub(super) fn lay(env: &Environment, merged: &mut Merged, errors: &mut Vec<ConfigError>, warnings: &mut Vec<String>) {
    let Some(listen) = address(merged) else { return };
    let host = part::<IpAddr>(env, HOST, "an address, such as 0.0.0.0 or ::", errors);
    let port = part::<u16>(env, PORT, "a port, 0 to 65535", errors);
    let wanted = SocketAddr::new(host.unwrap_or(listen.ip()), port.unwrap_or(listen.port()));
    if wanted != listen {
        let by_port = port.is_some_and(|port| port != listen.port());
        let variable = if by_port { PORT } else { HOST };
        let key = key("listen");
        match merged.origin(&key) {
            flag @ Origin::Flag(_) => warnings.push(without_effect(variable, &key, &flag)),
            origin => {
                if let Origin::Variable(_) = origin {
                    warnings.push(format!(
                        "environment variable {variable}: makes {} {wanted}, which {origin} sets to {listen}",
                        key.join(".")
                    ));
                }
                put(merged, key, wanted.show(), variable);
            }
        }
    }
    if let Some(node) = env.get(NODE).and_then(Result::ok).map(str::trim) {
        let key = key("node");
        match merged.origin(&key) {
            // The node's name is in the environment of many pods for other programs.
            Origin::Flag(_) | Origin::Variable(_) => {}
            _ => put(merged, key, node.to_owned(), NODE),
        }
    }
}

fn without_effect(variable: &str, key: &[String], origin: &Origin) -> String {
    let key = key.join(".");
    format!("environment variable {variable}: has no effect on {key}, which {origin} sets")
}

fn put(merged: &mut Merged, key: KeyPath, value: String, variable: &str) {
    let origin = Origin::Variable(variable.into());
    merged.lay(vec![(key, Leaf::new(Raw::Text(value), origin))]);
}

/// The address of the view if it is on and valid.
fn address(merged: &Merged) -> Option<SocketAddr> {
    match merged.get(&key("listen"))? {
        Raw::Text(text) | Raw::Str(text) => SocketAddr::parse(text.trim()).ok(),
        _ => None,
    }
}

fn key(last: &str) -> KeyPath {
    SECTION.into_iter().chain([last]).map(str::to_owned).collect()
}

/// What the variable holds; what is wrong with it is an error.
fn part<T: std::str::FromStr>(
    env: &Environment,
    name: &'static str,
    expected: &str,
    errors: &mut Vec<ConfigError>,
) -> Option<T> {
    let problem = match env.get(name)? {
        Ok(text) => match text.trim().parse() {
            Ok(value) => return Some(value),
            Err(_) => format!("{text:?} is not {expected}; correct it, or unset it"),
        },
        Err(problem) => format!("{problem}; write {expected}, or unset it"),
    };
    errors.push(ConfigError {
        origin: Origin::Variable(name.into()),
        key: key("listen").join("."),
        problem,
    });
    None
}
