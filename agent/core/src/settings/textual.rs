//! Values of settings that are written as text: durations, sizes, addresses, paths, choices.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// A type that is written as text, even where TOML has a shape of its own for some of its values.
pub trait Textual: Sized {
    /// What it is, for "expected ...".
    const EXPECTED: &'static str;
    /// Whether it may be written as a number or a truth value of TOML, without quotes.
    const BARE: bool = true;
    /// Reads it; the error says what is wrong and what would be right.
    fn parse(text: &str) -> Result<Self, String>;
    /// Writes it as [`Textual::parse`] reads it.
    fn show(&self) -> String;
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Textual> TextVisitor<T> {
    fn visit_bare<E: de::Error>(self, value: impl fmt::Display, found: Unexpected<'_>) -> Result<T, E> {
        if T::BARE {
            self.visit_str(&value.to_string())
        } else {
            Err(E::invalid_type(found, &self))
        }
    }
}

impl<T: Textual> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text.trim()).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<T, E> {
        self.visit_bare(truth, Unexpected::Bool(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_bare(number, Unexpected::Signed(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_bare(number, Unexpected::Unsigned(number))
    }
}

/// For `#[serde(with)]`: a value.
pub mod text {
    use super::{Deserializer, PhantomData, TextVisitor, Textual};

    /// As [`Textual::show`] writes it.
    pub fn serialize<T: Textual, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.show())
    }

    /// As [`Textual::parse`] reads it.
    pub fn deserialize<'de, T: Textual, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

/// For `#[serde(with)]`: a value or none, which is empty text.
pub use self::text as optional;

/// For `#[serde(with)]`: a list of values, each as text. The error of one names it.
pub mod list {
    use super::{Deserialize, Deserializer, Item, Textual};

    /// Each as [`Textual::show`] writes it.
    pub fn serialize<T: Textual, S: serde::Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(T::show))
    }

    /// Each as [`Textual::parse`] reads it.
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

impl<T: Textual> Textual for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const BARE: bool = T::BARE;

    fn parse(text: &str) -> Result<Self, String> {
        (!text.is_empty()).then(|| T::parse(text)).transpose()
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
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
        match self.0 {
            bytes if bytes > 0 && bytes % bytesize::MIB == 0 => format!("{}MiB", bytes / bytesize::MIB),
            bytes => bytes.to_string(),
        }
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
    const BARE: bool = false;

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
