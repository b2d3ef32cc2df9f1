//! The merged values as a serde deserializer, which converts text from variables and flags to the type of its field.

use std::collections::BTreeMap;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{self, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::layers::{Merged, Raw};

/// A table or a value.
#[derive(Debug, Clone)]
pub(super) enum Node<'a> {
    Table(BTreeMap<&'a str, Node<'a>>),
    Leaf(Raw),
}

impl<'a> Node<'a> {
    /// The values below `place`; the whole configuration where that is empty.
    pub(super) fn at(merged: &'a Merged, place: &[String]) -> Self {
        let mut root = Node::Table(BTreeMap::new());
        for (path, leaf) in merged.iter().filter(|(path, _)| path.starts_with(place)) {
            let mut node = &mut root;
            for part in &path[place.len()..] {
                node = node.child(part);
            }
            if !matches!(leaf.raw, Raw::Table | Raw::FreshTable) {
                *node = Node::Leaf(leaf.raw.clone());
            }
        }
        root
    }

    fn child(&mut self, name: &'a str) -> &mut Node<'a> {
        if !matches!(self, Node::Table(_)) {
            *self = Node::Table(BTreeMap::new());
        }
        match self {
            Node::Table(children) => children.entry(name).or_insert_with(|| Node::Table(BTreeMap::new())),
            Node::Leaf(_) => unreachable!("it was made a table above"),
        }
    }

    fn raw(&self) -> Option<&Raw> {
        match self {
            Node::Table(_) => None,
            Node::Leaf(raw) => Some(raw),
        }
    }
}

impl<'a> IntoDeserializer<'a, Error> for Node<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A list in the syntax of the file.
fn as_in_the_file(text: &str) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Line {
        list: Vec<String>,
    }
    let parsed = toml::from_str::<Line>(&format!("list = {text}"));
    parsed.map(|line| line.list).map_err(|error| {
        let problem = error.message();
        format!("{text:?} is not a list ({problem}); write a,b or [\"a\", \"b\"]")
    })
}

fn wrong(problem: impl std::fmt::Display) -> Error {
    de::Error::custom(problem)
}

macro_rules! whole_numbers {
    ($visit:ident($number:ty): $($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.raw() {
                Some(Raw::Int(number)) => match <$number>::try_from(*number) {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(wrong("must not be negative")),
                },
                Some(Raw::Text(text)) => match text.trim().parse() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(wrong(format_args!("{text:?} is not a whole number"))),
                },
                Some(Raw::Invalid(problem)) => Err(wrong(problem)),
                _ => Err(wrong("must be a whole number, without quotes")),
            }
        }
    )*};
}

impl<'a> de::Deserializer<'a> for Node<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        let raw = match self {
            Node::Table(children) => return visitor.visit_map(MapDeserializer::new(children.into_iter())),
            Node::Leaf(raw) => raw,
        };
        match raw {
            Raw::Text(text) | Raw::Str(text) => visitor.visit_string(text),
            Raw::Int(number) => visitor.visit_i64(number),
            Raw::Float(number) => visitor.visit_f64(number),
            Raw::Bool(truth) => visitor.visit_bool(truth),
            Raw::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Node::Leaf))),
            Raw::Table | Raw::FreshTable => {
                visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Node<'a>)>()))
            }
            Raw::Invalid(problem) => Err(wrong(problem)),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.raw() {
            Some(Raw::Bool(truth)) => visitor.visit_bool(*truth),
            Some(Raw::Text(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(wrong(format_args!("{text:?} is neither true nor false"))),
            },
            Some(Raw::Invalid(problem)) => Err(wrong(problem)),
            _ => Err(wrong("must be true or false, without quotes")),
        }
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        let Some(Raw::Text(text)) = self.raw() else {
            return self.deserialize_any(visitor);
        };
        let items: Vec<String> = if text.trim_start().starts_with('[') {
            as_in_the_file(text).map_err(wrong)?
        } else {
            let parts = text.split(',').map(str::trim);
            parts.filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        let items = items.into_iter().map(|item| Node::Leaf(Raw::Text(item)));
        visitor.visit_seq(SeqDeserializer::new(items))
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    whole_numbers! { visit_i64(i64):
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    whole_numbers! { visit_u64(u64):
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}
