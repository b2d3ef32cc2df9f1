//! `deploy/agent.example.toml`: every setting with its documentation and its default.

use accelscope::config::Config;
use accelscope_core::settings::{Content, Documented, KeyDocumentation};
use accelscope_core::source::Sources;
use serde_json::Value;

/// What holds for all sections.
const HEAD: &str = "\
# The configuration of accelscope's agent: every key with its meaning, its type and its default.
#
# A line that begins with \"#\" and a key is that key with its default: take the \"#\" away to change it.
# A line that begins with \"# \" explains or shows an example.
#
# The agent reads the file given with --config, else /etc/accelscope/agent.toml if it exists. It runs without any.
# Every key can also be given
#   - as a flag:               --set otlp.interval=5s          (wins over all that follows)
#   - in the environment:      ACCELSCOPE__OTLP__INTERVAL=5s   (upper or lower case; an empty value counts as unset)
#   - by OpenTelemetry's own variables, named below beside their keys; the METRICS form wins over the general one
# and the file comes last. Lists are separated by commas there: ACCELSCOPE__HTTP__RESOURCE_LABELS=a,b
#
# Durations are text with a unit: \"500ms\", \"10s\", \"2m\". Sizes are bytes, or text with a unit: 1048576, \"64MiB\".
# An empty text \"\" where a default says so means: not set.
#
# Whether this file is right: agent check-config FILE
";

/// The whole file.
pub fn example_toml(sources: Sources) -> String {
    let mut text = HEAD.to_owned();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    tables(&mut text, "", Config::DOCUMENTATION.keys, &defaults, sources);
    let is_own = |name: &str| Config::DOCUMENTATION.keys.iter().any(|key| key.name == name);
    for source in sources.iter().filter(|source| !is_own(source.name)) {
        let documentation = source.settings.documentation;
        text.push_str(&format!("\n{}", comment(documentation.text)));
        let defaults = (source.settings.default)().to_value();
        section(&mut text, source.name, documentation.keys, &defaults);
    }
    text
}

/// A section without the text above it: its values, then its tables.
fn section(text: &mut String, name: &str, keys: &[KeyDocumentation], defaults: &Value) {
    text.push_str(&format!("[{name}]\n"));
    values(text, keys, defaults);
    tables(text, &format!("{name}."), keys, defaults, &[]);
}

fn values(text: &mut String, keys: &[KeyDocumentation], defaults: &Value) {
    for key in keys.iter().filter(|key| matches!(key.content, Content::Value)) {
        let default = toml_value(defaults.get(key.name).unwrap_or(&Value::Null));
        text.push_str(&format!("{}#{} = {default}\n", comment(key.text), key.name));
    }
}

/// Tables below `prefix`. A source with the name of one has its keys in it.
fn tables(text: &mut String, prefix: &str, keys: &[KeyDocumentation], defaults: &Value, sources: Sources) {
    for key in keys.iter().filter(|key| !matches!(key.content, Content::Value)) {
        let name = format!("{prefix}{}", key.name);
        // An empty line is between the description of an open table and its examples.
        let (description, examples) = match key.text.iter().position(|line| line.is_empty()) {
            Some(at) => key.text.split_at(at),
            None => (key.text, [].as_slice()),
        };
        text.push_str(&format!("\n{}", comment(description)));
        match key.content {
            Content::Section(keys) => {
                section(text, &name, keys, defaults.get(key.name).unwrap_or(&Value::Null));
                if let Some(source) = sources.iter().find(|source| source.name == name) {
                    let documentation = source.settings.documentation;
                    text.push_str(&format!("\n{}\n", comment(documentation.text)));
                    values(text, documentation.keys, &(source.settings.default)().to_value());
                }
            }
            Content::Open => text.push_str(&format!("[{name}]\n{}", comment(examples))),
            Content::Heirs(_) | Content::Value => text.push_str(&comment(examples)),
        }
    }
}

/// Lines of documentation without the marks of Markdown around code.
fn comment(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| line.trim_end());
    let shown = lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with("```"));
    shown.map(|line| format!("#{line}\n")).collect()
}

/// As TOML writes it; settings are texts, booleans, numbers and lists of these.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
