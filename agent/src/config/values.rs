//! Tables with arbitrary keys: headers and resource attributes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use accelscope_core::metric::AttributeValue;
use accelscope_export::otlp::Secret;

/// Headers, serialized without their values.
pub(super) mod secrets {
    use super::{BTreeMap, Deserialize, Deserializer, Secret, SecretText, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(headers: &BTreeMap<String, Secret>, s: S) -> Result<S::Ok, S::Error> {
        headers
            .keys()
            .map(|name| (name, "[redacted]"))
            .collect::<BTreeMap<_, _>>()
            .serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Secret>, D::Error> {
        let headers = BTreeMap::<String, SecretText>::deserialize(d)?;
        Ok(headers
            .into_iter()
            .map(|(name, value)| (name, Secret::new(value.0)))
            .collect())
    }
}

/// The same, inherited if absent.
pub(super) mod optional_secrets {
    use super::{BTreeMap, Deserializer, Secret, Serializer, secrets};

    #[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(
        headers: &Option<BTreeMap<String, Secret>>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        secrets::serialize(headers.as_ref().unwrap_or(&BTreeMap::new()), s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<BTreeMap<String, Secret>>, D::Error> {
        secrets::deserialize(d).map(Some)
    }
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
pub(super) mod attribute_values {
    use super::{Attribute, AttributeValue, BTreeMap, Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(values: &BTreeMap<String, AttributeValue>, s: S) -> Result<S::Ok, S::Error> {
        values
            .iter()
            .map(|(key, value)| (key, value.to_string()))
            .collect::<BTreeMap<_, _>>()
            .serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, AttributeValue>, D::Error> {
        let values = BTreeMap::<String, Attribute>::deserialize(d)?;
        Ok(values.into_iter().map(|(key, value)| (key, value.0)).collect())
    }
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
