//! OpenTelemetry's resource: the attributes of the agent and its host.

use super::AttributeValue;

/// Attributes of the source of the telemetry, each key once, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource {
    attributes: Vec<(String, AttributeValue)>,
}

impl Resource {
    /// Sets one attribute, replacing what it had.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<AttributeValue>) {
        let (key, value) = (key.into(), value.into());
        match self.attributes.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => self.attributes[at].1 = value,
            Err(at) => self.attributes.insert(at, (key, value)),
        }
    }

    /// Removes one attribute, if there is one.
    pub fn remove(&mut self, key: &str) {
        self.attributes.retain(|(k, _)| k != key);
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// Name of the node: Kubernetes' name, else the host's; empty where neither is known.
    pub fn node_name(&self) -> String {
        let name = ["k8s.node.name", "host.name"].into_iter().find_map(|key| self.get(key));
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.attributes.iter().map(|(k, v)| (k.as_str(), v))
    }
}
