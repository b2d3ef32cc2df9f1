//! JSON lines of the agent.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

/// One point in the agent's output.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Point {
    pub(super) time: jiff::Timestamp,
    /// Of cumulative ones.
    #[serde(default)]
    pub(super) start_time: Option<jiff::Timestamp>,
    pub(super) name: String,
    attributes: BTreeMap<String, Value>,
    /// Null for a series that has ended.
    #[serde(default)]
    pub(super) value: Option<f64>,
    #[serde(default)]
    pub(super) count: Option<u64>,
    #[serde(default)]
    pub(super) bounds: Vec<f64>,
    #[serde(default)]
    pub(super) buckets: Vec<u64>,
}

impl Point {
    /// Value of an attribute as text; empty if it is absent.
    pub(super) fn attribute(&self, key: &str) -> String {
        match self.attributes.get(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// Whether any of its attributes has that value: several attributes identify a caller.
    pub(super) fn tells(&self, value: &str) -> bool {
        self.attributes.values().any(|found| found.as_str() == Some(value))
    }

    fn series(&self) -> (String, String) {
        let attributes: Vec<_> = self
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (self.name.clone(), attributes.join(","))
    }
}

/// All points of JSON lines. The last line may be incomplete: the agent was ended while it wrote.
pub(super) fn points(text: &str) -> Result<Vec<Point>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("the agent printed: {line}")))
        .collect()
}

/// The last point with a value of every series of a metric.
pub(super) fn last<'a>(points: &'a [Point], name: &str) -> Vec<&'a Point> {
    let mut last = BTreeMap::new();
    for point in points.iter().filter(|point| point.name == name) {
        if point.value.is_some() || point.count.is_some() {
            last.insert(point.series(), point);
        }
    }
    last.into_values().collect()
}
