//! `deploy/agent.example.toml`: every setting with its documentation and its default.

use accelscope_core::source::{Descriptor, Sources};
use serde_json::Value;

/// The sections that belong to no source, with a line for where those of the sources go.
const TEMPLATE: &str = include_str!("example.template.toml");
const SOURCES: &str = "# {sources}\n";

/// The whole file.
pub fn example_toml(sources: Sources) -> String {
    let sections: Vec<String> = sources.iter().map(|source| section(source)).collect();
    TEMPLATE.replace(SOURCES, &sections.join("\n"))
}

fn section(source: &Descriptor) -> String {
    let documentation = source.settings.documentation;
    let defaults = (source.settings.default)().to_value();
    let mut text = comment(documentation.text);
    text.push_str(&format!("[{}]\n", source.name));
    for key in documentation.keys {
        text.push_str(&comment(key.text));
        let default = toml_value(defaults.get(key.name).unwrap_or(&Value::Null));
        text.push_str(&format!("#{} = {default}\n", key.name));
    }
    text
}

fn comment(lines: &[&str]) -> String {
    let line = |line: &&str| format!("#{}\n", line.trim_end());
    lines.iter().map(line).collect()
}

/// As TOML writes it; settings are texts, booleans, numbers and lists of these.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
