//! A series' attributes: sorted, shared, hashed once.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Longest attribute value in bytes; longer ones are cut at a character boundary. Names of processes and
/// devices are chosen by others.
pub const MAX_VALUE_BYTES: usize = 256;

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// Text.
    Str(Arc<str>),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
}

/// A key and its value.
pub type Attribute = (&'static str, AttributeValue);

/// A set of attributes, sorted by key, each key once.
#[derive(Debug, Clone)]
pub struct Attributes {
    hash: u64,
    entries: Box<[Attribute]>,
}

impl Attributes {
    /// From any order; of a repeated key the last value stays.
    pub fn new(entries: impl IntoIterator<Item = Attribute>) -> Self {
        let mut sorted: Vec<Attribute> = Vec::new();
        for (key, value) in entries {
            match sorted.binary_search_by(|(k, _)| (*k).cmp(key)) {
                Ok(at) => sorted[at].1 = value,
                Err(at) => sorted.insert(at, (key, value)),
            }
        }
        let mut hasher = DefaultHasher::new();
        sorted.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            entries: sorted.into_boxed_slice(),
        }
    }

    /// The empty set.
    pub fn empty() -> Self {
        Self::new([])
    }

    /// In the order of their keys.
    pub fn iter(&self) -> std::slice::Iter<'_, Attribute> {
        self.entries.iter()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.entries.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The value of `key` if it is a number.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            AttributeValue::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The value of `key` if it is a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            AttributeValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// This set and `more`; where both have a key, `more` wins.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Attribute>) -> Self {
        Self::new(self.entries.iter().cloned().chain(more))
    }

    /// Bytes that a shared set takes in memory, by an estimate: all its texts, though some may be shared with other sets.
    pub fn size(&self) -> usize {
        /// The counts of an `Arc`.
        const COUNTS: usize = 2 * size_of::<usize>();
        let text = |value: &AttributeValue| match value {
            AttributeValue::Str(text) => allocated(COUNTS + text.len()),
            AttributeValue::Int(_) | AttributeValue::Bool(_) => 0,
        };
        let texts: usize = self.entries.iter().map(|(_, value)| text(value)).sum();
        allocated(COUNTS + size_of::<Self>()) + allocated(size_of_val(&*self.entries)) + texts
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        // Most are shared.
        std::ptr::eq(self, other) || (self.hash == other.hash && self.entries == other.entries)
    }
}

impl Eq for Attributes {}

impl Hash for Attributes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, value)))
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a Attribute;
    type IntoIter = std::slice::Iter<'a, Attribute>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
        }
    }
}

impl From<&str> for AttributeValue {
    /// Cut at [`MAX_VALUE_BYTES`].
    fn from(text: &str) -> Self {
        Self::Str(capped(text).into())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Arc<str>> for AttributeValue {
    fn from(text: Arc<str>) -> Self {
        if text.len() <= MAX_VALUE_BYTES {
            Self::Str(text)
        } else {
            Self::from(&*text)
        }
    }
}

impl From<i64> for AttributeValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for AttributeValue {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for AttributeValue {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// Bytes that the allocator takes for so many: glibc has 8 of its own for each block, and blocks of multiples of 16.
const fn allocated(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16)
}

fn capped(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_insertion_makes_no_other_series() {
        let a = Attributes::new([("b", 1i64.into()), ("a", "x".into())]);
        let b = Attributes::new([("a", "x".into()), ("b", 1i64.into())]);
        assert_eq!(a, b);
        assert_eq!(a.iter().map(|(k, _)| *k).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let AttributeValue::Str(cut) = AttributeValue::from("ä".repeat(200)) else {
            panic!("not text")
        };
        assert_eq!(cut.len(), MAX_VALUE_BYTES);
    }
}
