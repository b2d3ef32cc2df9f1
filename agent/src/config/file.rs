//! The configuration file: TOML with the position of each value.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use accelscope_core::host::bounded::{read_given, read_regular};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layers::{KeyPath, Layer, Leaf, Raw};
use super::schema::Shape;
use super::{ConfigError, Origin};

/// Size limit in bytes: a configuration has a few kilobytes, and a wrong path may name a disk image.
const MAX_BYTES: usize = 1 << 20;

/// Bytes of a line from which a column is counted in bytes.
const LONG_LINE: usize = 4096;

/// Path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Names of a descriptor that this process was given, such as that of `<(command)` in a shell. It may be a pipe: whoever
/// gives it one waits for its end.
const DESCRIPTORS: [&str; 3] = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];

/// Reads `path`. Parts that cannot be parsed are errors, and the rest is returned nevertheless.
pub(super) fn read(path: &Path, may_be_empty: bool, shape: &Shape, errors: &mut Vec<ConfigError>) -> Layer {
    let whole = |problem: String| ConfigError {
        origin: Origin::WholeFile(path.to_owned()),
        key: String::new(),
        problem,
    };
    match content(path) {
        Ok(text) if text.trim().is_empty() && !may_be_empty => {
            let problem = "is empty, as a file is for a moment while it is replaced; reload again, or write a comment into it \
                           if the defaults are wanted";
            errors.push(whole(problem.to_owned()));
            Layer::new()
        }
        Ok(text) => parse(path, &text, shape, errors),
        Err(error) => {
            errors.push(whole(match error.kind() {
                io::ErrorKind::NotFound => "no such file; give the right path".to_owned(),
                io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
                io::ErrorKind::FileTooLarge => "is larger than 1 MiB, so it is no configuration".to_owned(),
                // What it is instead of a file, and the remedy.
                io::ErrorKind::InvalidInput => error.to_string(),
                _ => format!("cannot be read: {error}"),
            }));
            Layer::new()
        }
    }
}

/// Whether `path` is a pipe or the like, which ends when it has been read.
pub(crate) fn is_read_once(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT) || (is_given(path) && !path.is_file())
}

fn is_given(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| DESCRIPTORS.iter().any(|given| path.starts_with(given)))
}

fn content(path: &Path) -> io::Result<String> {
    let bytes = if path == Path::new(STANDARD_INPUT) {
        let mut bytes = Vec::new();
        io::stdin().take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        bytes
    } else if is_given(path) {
        read_given(path, MAX_BYTES)?
    } else {
        read_regular(path, MAX_BYTES)?
    };
    if bytes.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn parse(path: &Path, text: &str, shape: &Shape, errors: &mut Vec<ConfigError>) -> Layer {
    let place = Place::new(path, text);
    let (table, faults) = DeTable::parse_recoverable(text);
    for fault in faults {
        // Only the message: the library's own rendering quotes the line, which may contain a secret.
        errors.push(ConfigError {
            origin: place.at(fault.span().map_or(0, |span| span.start)),
            key: String::new(),
            problem: format!("not valid TOML: {}", fault.message()),
        });
    }
    let mut layer = Layer::new();
    place.flatten(&mut KeyPath::new(), table.get_ref(), Some(shape), &mut layer);
    layer
}

struct Place<'a> {
    path: Arc<Path>,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Place<'a> {
    fn new(path: &Path, text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            path: path.into(),
            text,
            lines: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// The position of a byte.
    fn at(&self, offset: usize) -> Origin {
        let line = self.lines.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.lines[line - 1];
        let before = &self.text[begin..self.text.floor_char_boundary(offset)];
        // Of a longer line nobody counts the characters.
        let column = if before.len() > LONG_LINE {
            before.len()
        } else {
            before.chars().count()
        };
        Origin::File {
            path: Arc::clone(&self.path),
            line,
            column: column + 1,
        }
    }

    fn flatten(&self, path: &mut KeyPath, table: &DeTable<'_>, shape: Option<&Shape>, layer: &mut Layer) {
        for (key, value) in table {
            path.push(key.get_ref().to_string());
            let leaf = |raw| Leaf::new(raw, self.at(key.span().start));
            match value.get_ref() {
                DeValue::Table(children) if matches!(shape, Some(Shape::Open)) => {
                    let name = path.pop().unwrap_or_default();
                    self.join(path, &name, children, layer);
                    continue;
                }
                DeValue::Table(children) => {
                    layer.push((path.clone(), leaf(Raw::Table)));
                    let below = shape.and_then(|shape| shape.child(key.get_ref()));
                    self.flatten(path, children, below, layer);
                }
                value => layer.push((path.clone(), leaf(raw(value)))),
            }
            path.pop();
        }
    }

    /// Nested tables below an open one: `k8s.node.name = "x"` means the key `k8s.node.name`.
    fn join(&self, path: &KeyPath, prefix: &str, table: &DeTable<'_>, layer: &mut Layer) {
        for (key, value) in table {
            let name = format!("{prefix}.{}", key.get_ref());
            if let DeValue::Table(children) = value.get_ref() {
                self.join(path, &name, children, layer);
            } else {
                let leaf = Leaf::new(raw(value.get_ref()), self.at(key.span().start));
                layer.push(([path.as_slice(), &[name]].concat(), leaf));
            }
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Str(text.to_string()),
        DeValue::Boolean(truth) => Raw::Bool(*truth),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Raw::Invalid("is too large a number".to_owned()), Raw::Int),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Raw::Invalid("is not a number".to_owned()), Raw::Float),
        DeValue::Array(items) => Raw::List(items.iter().map(Spanned::get_ref).map(raw).collect()),
        DeValue::Datetime(_) => Raw::Invalid("is a date; no key takes one, so write it in quotes".to_owned()),
        DeValue::Table(_) => Raw::Invalid("holds a table where a value belongs".to_owned()),
    }
}
