//! Configured values with their origins, in layers of increasing precedence.

use std::collections::BTreeMap;

use super::Origin;

/// Parts of a key: section, key, and what is below.
pub(super) type KeyPath = Vec<String>;

/// A value before it is converted to the type of its field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From a variable or a flag: it is converted to the type of its field.
    Text(String),
    /// Text of the file: valid for text fields only.
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Raw>),
    /// Start of a table; its values are separate entries with longer paths.
    Table,
    /// Table that replaces the one of lower layers.
    FreshTable,
    /// Invalid for a field of any type, with the reason.
    Invalid(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Leaf {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

impl Leaf {
    pub(super) fn new(raw: Raw, origin: Origin) -> Self {
        Self { raw, origin }
    }
}

/// Values of one source, in its order.
pub(super) type Layer = Vec<(KeyPath, Leaf)>;

/// Values with the highest precedence of all layers.
#[derive(Debug, Default)]
pub(super) struct Merged(BTreeMap<KeyPath, Leaf>);

impl Merged {
    /// Adds `layer` with precedence over the existing values. Within it, a later value wins, and a table precedes its
    /// parts.
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

    /// Adds a value where there is none.
    pub(super) fn add(&mut self, path: KeyPath, leaf: Leaf) {
        self.0.entry(path).or_insert(leaf);
    }

    /// Removes the value and all below it.
    pub(super) fn remove(&mut self, prefix: &[String]) {
        self.0.retain(|path, _| !path.starts_with(prefix));
    }

    /// Origin of the value at `path`: its own, else that of a part of it, else that of the table that contains it.
    pub(super) fn origin(&self, path: &[impl AsRef<str>]) -> Origin {
        let path: &[String] = &path.iter().map(|part| part.as_ref().to_owned()).collect::<KeyPath>();
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

    pub(super) fn get(&self, path: &[String]) -> Option<&Raw> {
        self.0.get(path).map(|leaf| &leaf.raw)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&KeyPath, &Leaf)> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Names in the open table at `prefix`, for sources with names that are not case-sensitive.
    pub(super) fn names_under<'a>(&'a self, prefix: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.0
            .range(prefix.to_vec()..)
            .map(|(path, _)| path)
            .take_while(move |path| path.starts_with(prefix))
            .filter_map(move |path| path.get(prefix.len()).map(String::as_str))
    }
}
