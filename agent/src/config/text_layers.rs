//! Layers of `--set` and `ACCELSCOPE__...`: sources with text values only.

use super::headers;
use super::layers::{KeyPath, Layer, Leaf, Merged, Raw};
use super::schema::Shape;
use super::{ConfigError, Environment, Origin};

/// Two underscores follow, so that variables of a Kubernetes Service named `accelscope` never match.
pub(super) const PREFIX: &str = "ACCELSCOPE__";

/// The layer of `--set SECTION.KEY=VALUE`.
pub(super) fn flags(sets: &[String], shape: &Shape, errors: &mut Vec<ConfigError>) -> Layer {
    let mut layer = Layer::new();
    for set in sets {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        if key.len() == set.len() {
            // Without "=" it may be a value, or "name: value".
            let is_key = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let end = key.find(|c| !is_key(c)).unwrap_or(key.len());
            let rest = if end < key.len() { "…" } else { "" };
            errors.push(malformed(Origin::Flag(format!("{}{rest}", &key[..end]).into())));
            continue;
        }
        let origin = Origin::Flag(key.into());
        if !key.contains('.') {
            errors.push(malformed(origin));
            continue;
        }
        put(&mut layer, shape, shape.split(key), value, origin);
    }
    layer
}

fn malformed(origin: Origin) -> ConfigError {
    ConfigError {
        origin,
        key: String::new(),
        problem: "is not of the form SECTION.KEY=VALUE, such as --set otlp.interval=5s".to_owned(),
    }
}

/// The layer of `ACCELSCOPE__SECTION__KEY`; names from lower layers match in upper or lower case.
pub(super) fn variables(env: &Environment, shape: &Shape, lower: &Merged) -> Layer {
    let mut layer = Layer::new();
    for (name, value) in env.starting_with(PREFIX) {
        let origin = Origin::Variable(name.into());
        let path = variable_path(&name[PREFIX.len()..], shape, lower);
        match value {
            Ok("") => {}
            Ok(value) => put(&mut layer, shape, path, value, origin),
            Err(problem) => layer.push((path, Leaf::new(Raw::Invalid(problem.to_owned()), origin))),
        }
    }
    layer
}

fn variable_path(name: &str, shape: &Shape, lower: &Merged) -> KeyPath {
    let mut path = KeyPath::new();
    let mut shape = Some(shape);
    let lowered = name.to_ascii_lowercase();
    let mut parts = lowered.split("__");
    while let Some(part) = parts.next() {
        let name = match shape {
            Some(Shape::Open) => {
                let rest: Vec<&str> = std::iter::once(part).chain(parts.by_ref()).collect();
                let header = path.last().is_some_and(|last| last == "headers");
                let name = if header {
                    rest.join("-").replace('_', "-")
                } else {
                    rest.join(".")
                };
                known(&path, name, lower)
            }
            Some(Shape::Named(_)) => known(&path, part.to_owned(), lower),
            _ => part.to_owned(),
        };
        shape = shape.and_then(|shape| shape.child(&name));
        path.push(name);
    }
    path
}

/// The name as a lower layer has it, if only case and the choice of `-` or `_` differ.
fn known(path: &[String], name: String, lower: &Merged) -> String {
    let folded = |name: &str| name.to_lowercase().replace('-', "_");
    let found = lower
        .names_under(path)
        .find(|candidate| folded(candidate) == folded(&name));
    found.map_or(name, str::to_owned)
}

fn put(layer: &mut Layer, shape: &Shape, path: KeyPath, value: &str, origin: Origin) {
    let place = path.iter().try_fold(shape, |shape, part| shape.child(part));
    if matches!(place, Some(Shape::Open)) && path.last().is_some_and(|last| last == "headers") {
        headers::put(layer, path, value, &origin);
    } else {
        layer.push((path, Leaf::new(Raw::Text(value.to_owned()), origin)));
    }
}
