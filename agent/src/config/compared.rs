//! Configurations as keys with values, so that two can be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Config;
use accelscope_core::source::Sources;

impl Config {
    /// Every section as an object, those of the sources among them. Values of headers are left out.
    pub(crate) fn to_value(&self, sources: Sources) -> Value {
        let mut all = match serde_json::to_value(self) {
            Ok(Value::Object(all)) => all,
            // Only a map with keys that are no text could fail.
            _ => Map::new(),
        };
        for source in sources {
            let keys = self.sources.of(source).to_value();
            // The agent itself may have a section with that name.
            match (all.get_mut(source.name), keys) {
                (Some(Value::Object(section)), Value::Object(keys)) => section.extend(keys),
                (_, keys) => drop(all.insert(source.name.to_owned(), keys)),
            }
        }
        let resource = self.resource.iter();
        let resource = resource.map(|(key, value)| (key.clone(), value.to_string().into()));
        all.insert("resource".to_owned(), Value::Object(resource.collect()));
        Value::Object(all)
    }
}

/// Each key with its value.
pub(crate) fn flat(value: &Value) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    flatten(String::new(), value, &mut all);
    all
}

fn flatten<'a>(key: String, value: &'a Value, all: &mut BTreeMap<String, &'a Value>) {
    let Value::Object(children) = value else {
        all.insert(key, value);
        return;
    };
    for (name, child) in children {
        let below = if key.is_empty() {
            name.clone()
        } else {
            format!("{key}.{name}")
        };
        flatten(below, child, all);
    }
}
