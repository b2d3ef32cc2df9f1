//! OpenTelemetry's resource: the attributes of the agent and its host.

use std::collections::BTreeMap;

use super::AttributeValue;

/// Attributes of the source of the telemetry, each key once, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resource(BTreeMap<String, AttributeValue>);

impl Resource {
    /// Sets one attribute, replacing what it had.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<AttributeValue>) {
        self.0.insert(key.into(), value.into());
    }

    /// Removes one attribute, if there is one.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.0.get(key)
    }

    /// Name of the node: Kubernetes' name, else the host's; empty where neither is known.
    pub fn node_name(&self) -> String {
        let name = ["k8s.node.name", "host.name"].into_iter().find_map(|key| self.get(key));
        name.map(ToString::to_string).unwrap_or_default()
    }

    /// In the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
