//! Tables with arbitrary keys: headers and resource attributes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use accelscope_core::metric::AttributeValue;
use accelscope_export::otlp::Secret;

/// Headers.
pub(super) fn secrets<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let headers = BTreeMap::<String, SecretText>::deserialize(d)?;
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value.0)))
        .collect())
}

struct SecretText(String);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own error would contain the value.
        String::deserialize(deserializer)
            .map(Self)
            .map_err(|_| de::Error::custom("a header's value must be text in quotes"))
    }
}

/// Resource attributes.
pub(super) fn attributes<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, AttributeValue>, D::Error> {
    let values = BTreeMap::<String, Attribute>::deserialize(d)?;
    Ok(values.into_iter().map(|(key, value)| (key, value.0)).collect())
}

struct Attribute(AttributeValue);

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl Visitor<'_> for AttributeVisitor {
    type Value = Attribute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number, true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Attribute, E> {
        Ok(Attribute(text.into()))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Attribute, E> {
        Ok(Attribute(truth.into()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Attribute, E> {
        Ok(Attribute(number.into()))
    }
}
