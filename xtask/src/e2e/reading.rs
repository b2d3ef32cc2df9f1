//! Points and samples of the agent, in each of its formats.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A point of OTLP or of a JSON line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Point {
    #[serde(default)]
    pub(crate) resource: BTreeMap<String, serde_json::Value>,
    pub(crate) name: String,
    pub(crate) unit: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    attributes: BTreeMap<String, serde_json::Value>,
    /// Absent for histograms and at the end of a series.
    #[serde(default)]
    pub(crate) value: Option<f64>,
    #[serde(default)]
    pub(crate) count: Option<u64>,
    time: Time,
    /// `start` in OTLP, `start_time` in JSON lines.
    #[serde(default, alias = "start_time")]
    start: Option<Time>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Time {
    Nanoseconds(u64),
    Text(jiff::Timestamp),
}

impl Time {
    fn nanoseconds(self) -> u64 {
        match self {
            Self::Nanoseconds(number) => number,
            Self::Text(time) => u64::try_from(time.as_nanosecond()).unwrap_or(0),
        }
    }
}

impl Point {
    /// Whether it is the end of its series.
    pub(crate) fn is_end(&self) -> bool {
        self.value.is_none() && self.count.is_none()
    }

    /// Nanoseconds since 1970.
    pub(crate) fn time(&self) -> u64 {
        self.time.nanoseconds()
    }

    /// Nanoseconds since 1970; 0 in OTLP means none.
    pub(crate) fn start(&self) -> Option<u64> {
        self.start.map(Time::nanoseconds).filter(|start| *start > 0)
    }

    /// Its attributes as text, which with the name identify the series.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        self.attributes
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect()
    }

    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        self.attributes.get(key).map(text)
    }

    /// Name and attributes.
    pub(crate) fn series(&self) -> String {
        format!("{}{}", self.name, super::bench::render(&self.attributes()))
    }
}

/// A sample of a Prometheus exposition.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sample {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    pub(crate) timestamp: Option<f64>,
}

/// Labels for comparisons between exporters.
///
/// Without labels that distinguish sources instead of series (`job`, `instance`, the scope). `target_info` of a pull
/// endpoint has `service.name` and `service.instance.id`; receivers of a push turn those into `job` and `instance` and
/// omit them. `le` is compared as a number: Prometheus writes `1.0` for scraped and `1` for pushed histograms.
pub(crate) fn comparable(name: &str, labels: &BTreeMap<String, String>) -> String {
    let mut labels = labels.clone();
    labels.retain(|key, _| {
        let source = ["job", "instance", "via"].contains(&key.as_str()) || key.starts_with("otel_scope_");
        !source && (name != "target_info" || !["service_name", "service_instance_id"].contains(&key.as_str()))
    });
    if let Some(bound) = labels.get_mut("le")
        && let Ok(number) = bound.parse::<f64>()
    {
        *bound = number.to_string();
    }
    super::bench::render(&labels)
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// One object per line.
pub(crate) fn json_lines<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    text.lines()
        .enumerate()
        .map(|(number, line)| serde_json::from_str(line).with_context(|| format!("line {}: {line}", number + 1)))
        .collect()
}
