//! Values as they were given, each with its origin, laid over one another.

use std::collections::BTreeMap;

use super::Origin;

/// A key's parts: section, key, and what is below.
pub(super) type KeyPath = Vec<String>;

/// A value before it has a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From a variable or a flag: it becomes what its field wants.
    Text(String),
    /// Text of the file, which stays text.
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// A table was opened here; what it holds stands beside it under longer paths.
    Table,
    /// A table that replaces whatever lower layers put into it.
    FreshTable,
    /// It can be nothing, whatever its field is; why.
    Invalid(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// The values of one source, in its order.
pub(super) type Layer = Vec<(KeyPath, Leaf)>;

/// What is left when every layer had its say.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<KeyPath, Leaf>);

impl Merged {
    /// Lays `layer` over what is there. Within it the later value wins, and the whole of a table precedes its parts.
    pub(super) fn lay(&mut self, mut layer: Layer) {
        layer.sort_by_key(|(path, _)| path.len());
        for (path, leaf) in layer {
            match leaf.raw {
                Raw::Table if self.0.contains_key(&path) => continue,
                Raw::Table => {}
                _ => self.remove(&path),
            }
            self.0.insert(path, leaf);
        }
    }

    /// Takes away the value and all below it; whether there was any.
    pub(super) fn remove(&mut self, prefix: &[String]) {
        self.0.retain(|path, _| !path.starts_with(prefix));
    }

    /// Where the value of `path` comes from: its own origin, else that of a part of it, else that of the table it is in.
    pub(super) fn origin(&self, path: &[String]) -> Origin {
        let part = || {
            self.0
                .iter()
                .find(|(other, _)| other.starts_with(path))
                .map(|(_, leaf)| leaf)
        };
        let above = || (1..path.len()).rev().find_map(|length| self.0.get(&path[..length]));
        let leaf = self.0.get(path).or_else(part).or_else(above);
        leaf.map_or(Origin::Default, |leaf| leaf.origin.clone())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&KeyPath, &Leaf)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The names in the open table at `prefix`, for a source that cannot tell upper case from lower.
    pub(super) fn names_under<'a>(&'a self, prefix: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.0
            .keys()
            .filter(move |path| path.starts_with(prefix))
            .filter_map(move |path| path.get(prefix.len()).map(String::as_str))
    }
}
