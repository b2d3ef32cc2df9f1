//! Values of settings that are written as text: durations, sizes, addresses, paths, choices.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A type with a text form, used even for values that TOML could represent otherwise.
pub trait Textual: Sized {
    /// Description of the type, for "expected ...".
    const EXPECTED: &'static str;
    /// Parses the text form; the error is the problem with the valid forms.
    fn parse(text: &str) -> Result<Self, String>;
    /// Text form, accepted by [`Textual::parse`].
    fn show(&self) -> String;
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Textual> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text.trim()).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<T, E> {
        self.visit_str(&truth.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// A value, for `#[serde(with)]`.
pub mod text {
    use super::{Deserializer, PhantomData, TextVisitor, Textual};

    /// Serializes with [`Textual::show`].
    pub fn serialize<T: Textual, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.show())
    }

    /// Deserializes with [`Textual::parse`].
    pub fn deserialize<'de, T: Textual, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

/// An optional value, for `#[serde(with)]`; `None` is empty text.
pub mod optional {
    use super::{Deserialize, Deserializer, Maybe, Textual};

    /// Serializes with [`Textual::show`]; `None` as empty text.
    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub fn serialize<T: Textual, S: serde::Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.as_ref().map(T::show).unwrap_or_default())
    }

    /// Deserializes with [`Textual::parse`]; empty text is `None`.
    pub fn deserialize<'de, T: Textual, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Maybe::deserialize(deserializer)?.0)
    }
}

/// A list of values, each as text, for `#[serde(with)]`. An error contains the text of its element.
pub mod list {
    use super::{Deserialize, Deserializer, Item, Textual};

    /// Serializes each with [`Textual::show`].
    pub fn serialize<T: Textual, S: serde::Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(T::show))
    }

    /// Deserializes each with [`Textual::parse`].
    pub fn deserialize<'de, T: Textual, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let items = Vec::<Item<T>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}

struct Item<T>(T);

impl<'de, T: Textual> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer).map(Self)
    }
}

struct Maybe<T>(Option<T>);

impl<'de, T: Textual> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl<T: Textual> Textual for Maybe<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        T::parse(text).map(|value| Self(Some(value)))
    }

    fn show(&self) -> String {
        self.0.as_ref().map(T::show).unwrap_or_default()
    }
}

impl Textual for Duration {
    const EXPECTED: &'static str = "a duration such as \"10s\"";

    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| {
            format!("{text:?} is not a duration; write a number with its unit, such as \"10s\", \"500ms\" or \"2m\"")
        })
    }

    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

impl Textual for ByteSize {
    const EXPECTED: &'static str = "a size such as \"16MiB\"";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is not a size; write bytes, or a number with its unit, such as \"16MiB\""))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Textual for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"127.0.0.1:9464\"";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!(
                "{text:?} is not an address and port; write \"127.0.0.1:9464\" for this machine alone, \
                 \"0.0.0.0:9464\" or \"[::]:9464\" for every interface"
            )
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Textual for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}
