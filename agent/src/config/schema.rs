//! The valid keys, derived from the types, and suggestions for misspelt ones.

use std::collections::BTreeMap;

use accelscope_core::settings::{Content, Documented, KeyDocumentation, nearest};
use accelscope_core::source::Sources;

use crate::sources::NAMES;

use super::error::MOST_ERRORS;
use super::layers::{KeyPath, Layer, Raw};
use super::{Config, ConfigError};

/// Least similarity (0 to 1) at which a valid key is suggested for an unknown one.
const ALIKE: f64 = 0.6;

/// Valid content of a place.
#[derive(Debug)]
pub(super) enum Shape {
    /// A value.
    Value,
    /// A table with known keys.
    Section(BTreeMap<String, Shape>),
    /// A table with names chosen by the user and entries of one shape.
    Named(Box<Shape>),
    /// A table with keys chosen by the user, which may contain dots.
    Open,
}

impl Shape {
    /// Shape of the whole configuration.
    pub(super) fn config(sources: Sources) -> Self {
        let mut root = Self::keys_of(Config::DOCUMENTATION.keys);
        for source in sources {
            let keys = Self::keys_of(source.settings.documentation.keys);
            // `[host]` has keys of the agent's own and those of the source with that name.
            match root.get_mut(source.name) {
                Some(Self::Section(section)) => section.extend(keys),
                _ => drop(root.insert(source.name.to_owned(), Self::Section(keys))),
            }
        }
        Self::Section(root)
    }

    fn keys_of(section: &[KeyDocumentation]) -> BTreeMap<String, Self> {
        let shape = |key: &KeyDocumentation| match key.content {
            Content::Value => Self::Value,
            Content::Open => Self::Open,
            Content::Section(keys) => Self::Section(Self::keys_of(keys)),
            Content::Heirs(except) => {
                let is_inherited = |other: &&KeyDocumentation| other.name != key.name && !except.contains(&other.name);
                let keys: Vec<_> = section.iter().filter(is_inherited).copied().collect();
                Self::Named(Box::new(Self::Section(Self::keys_of(&keys))))
            }
        };
        section.iter().map(|key| (key.name.to_owned(), shape(key))).collect()
    }

    /// Shape of `name` below this one, if it is a valid key.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Value => None,
            Self::Section(children) => children.get(name),
            Self::Named(each) => Some(each),
            Self::Open => Some(&Self::Value),
        }
    }

    /// Splits `text` at its dots, as deep as there are tables; an open table takes the rest as one key.
    pub(super) fn split(&self, text: &str) -> KeyPath {
        let mut path = KeyPath::new();
        let (mut shape, mut rest) = (Some(self), text);
        while let Some((part, more)) = rest.split_once('.') {
            if matches!(shape, Some(Self::Open)) {
                break;
            }
            path.push(part.to_owned());
            shape = shape.and_then(|shape| shape.child(part));
            rest = more;
        }
        path.push(rest.to_owned());
        path
    }

    /// All keys of values, with `<name>` for names and `<key>` for keys chosen by the user.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Value => Vec::new(),
            Self::Section(children) => children.iter().flat_map(|(name, child)| child.at(name)).collect(),
            Self::Named(each) => each.at("<name>"),
            Self::Open => vec!["<key>".to_owned()],
        }
    }

    fn at(&self, name: &str) -> Vec<String> {
        match self {
            Self::Value => vec![name.to_owned()],
            table => table.keys().iter().map(|key| format!("{name}.{key}")).collect(),
        }
    }

    /// Returns the values with valid places and reports an error for each of the others.
    pub(super) fn check(&self, layer: Layer, errors: &mut Vec<ConfigError>) -> Layer {
        let mut refused: Vec<KeyPath> = Vec::new();
        let mut kept = Layer::new();
        for (path, leaf) in layer {
            if errors.len() > MOST_ERRORS {
                // What is shown is full, and to look for the nearest known key takes time.
                break;
            }
            match self.place(&path, &leaf.raw) {
                Ok(()) => kept.push((path, leaf)),
                Err((depth, problem)) => {
                    // One error per unknown table.
                    let prefix = path[..depth].to_vec();
                    if !refused.contains(&prefix) || depth == path.len() {
                        errors.push(ConfigError {
                            origin: leaf.origin,
                            key: prefix.join("."),
                            problem,
                        });
                    }
                    refused.push(prefix);
                }
            }
        }
        kept
    }

    /// The error is the number of leading parts of the path that it concerns, and the problem.
    fn place(&self, path: &[String], raw: &Raw) -> Result<(), (usize, String)> {
        let mut shape = self;
        for (depth, part) in path.iter().enumerate() {
            shape = match shape.child(part) {
                Some(_) if part.is_empty() => return Err((depth + 1, "has an empty part".to_owned())),
                Some(child) => child,
                None if matches!(shape, Self::Value) => {
                    return Err((depth, "takes a value and has no keys below it".to_owned()));
                }
                None => return Err((depth + 1, self.unknown(shape, path, depth))),
            };
        }
        let table = matches!(raw, Raw::Table | Raw::FreshTable);
        match shape {
            Self::Value if table => Err((path.len(), "takes a value, not a table".to_owned())),
            Self::Section(_) | Self::Named(_) | Self::Open if !table && !matches!(raw, Raw::Invalid(_)) => Err((
                path.len(),
                format!("is a table and takes no value; set one of its keys{}", shape.listed()),
            )),
            _ => Ok(()),
        }
    }

    fn listed(&self) -> String {
        match self {
            Self::Section(children) => format!(": {}", children.keys().cloned().collect::<Vec<_>>().join(", ")),
            _ => String::new(),
        }
    }

    fn unknown(&self, parent: &Self, path: &[String], depth: usize) -> String {
        let (name, above) = (&path[depth], &path[..depth]);
        if above.is_empty() && NAMES.contains(&name.as_str()) {
            return format!("this agent was built without the source {name}; build it with the cargo feature {name:?}");
        }
        let full = |last: &str| [above, &[last.to_owned()]].concat().join(".");
        let siblings: Vec<&String> = match parent {
            Self::Section(children) => children.keys().collect(),
            _ => Vec::new(),
        };
        if let Some((_, near)) = nearest(name, siblings.iter().map(|s| s.as_str())).filter(|(score, _)| *score >= ALIKE)
        {
            return format!("unknown key; did you mean {}?", full(near));
        }
        let last = path.last().unwrap_or(name);
        // In a section that there is, the key of another one would set something else (`host.period` for `kmsg.period`).
        let section = above.first().map(|section| format!("{section}."));
        let is_meant = |key: &String| section.as_ref().is_none_or(|section| key.starts_with(section));
        let keys: Vec<String> = self.keys().into_iter().filter(is_meant).collect();
        if let Some(namesake) = keys
            .iter()
            .filter(|key| key.rsplit('.').next() == Some(last))
            .min_by_key(|key| key.len())
        {
            return format!("unknown key; did you mean {namesake}?");
        }
        let near = nearest(&path.join("."), keys.iter().map(String::as_str));
        let near = near
            .filter(|(score, _)| *score >= ALIKE)
            .map(|(_, key)| format!("; the nearest known key is {key}"))
            .unwrap_or_default();
        let place = if above.is_empty() {
            "sections".to_owned()
        } else {
            format!("keys of [{}]", above.join("."))
        };
        format!("unknown key{near}; {place}{}", parent.listed())
    }
}
