use super::file;
use crate::config::Config;
use crate::config::schema::Shape;

const EXAMPLE: &str = include_str!("../../../../deploy/agent.example.toml");

fn is_key(text: &str) -> bool {
    text.split_once(" = ")
        .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

/// The example with every commented-out default uncommented.
fn uncommented() -> String {
    let lines = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_shows_the_defaults() {
    assert_eq!(file(EXAMPLE).config(), Config::defaults(crate::SOURCES));
    let text = uncommented();
    assert!(
        text.lines().filter(|line| is_key(line)).count() > 20,
        "the rule that finds the keys found none"
    );
    assert_eq!(file(&text).config(), Config::defaults(crate::SOURCES));
}

#[test]
fn the_example_has_every_key() {
    let mut section = String::new();
    let mut shown = Vec::new();
    for line in EXAMPLE.lines() {
        let text = line.trim_start_matches('#').trim();
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.replace("destinations.edge", "destinations.<name>");
            shown.push(format!("{section}.<key>"));
        } else if let Some((key, _)) = text.split_once(" = ") {
            shown.push(format!("{section}.{key}"));
            shown.push(format!("{section}.{key}.<key>"));
        }
    }
    let missing: Vec<_> = Shape::config(crate::SOURCES)
        .keys()
        .into_iter()
        .filter(|key| !shown.contains(key))
        .collect();
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "they have no line in deploy/agent.example.toml"
    );
}

#[test]
fn every_example_value_is_valid() {
    let text: Vec<&str> = EXAMPLE
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("# ").unwrap_or(line);
            let table = rest.starts_with('[') && rest.ends_with(']');
            let key = rest
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' ') && !key.contains('`'));
            (table || key && line.starts_with("# ")).then_some(rest)
        })
        .collect();
    let config = file(&text.join("\n")).config();
    assert_eq!(config.otlp.destinations.len(), 1);
    assert_eq!(config.resource.len(), 2);
    assert_eq!(config.otlp.headers.len(), 1);
}
