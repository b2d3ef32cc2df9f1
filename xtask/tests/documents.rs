//! What others rely on changes only on purpose.

use accelscope::SOURCES;
use accelscope_core::source::{attribute_keys, attributes, instruments};
use xtask::documents;

fn is_committed(path: &str, text: &str) {
    let full = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(
        committed == text,
        "{path} has changed; if that is meant, run `cargo xtask bless` and commit what it writes"
    );
}

#[test]
fn the_catalogue_is_as_committed() {
    is_committed("agent/tests/catalogue.txt", &documents::snapshot(SOURCES));
}

#[test]
fn the_documentation_follows_from_the_sources() {
    is_committed("docs/metrics.md", &documents::metrics_md(SOURCES));
    is_committed("docs/configuration.md", &documents::configuration_md(SOURCES));
    is_committed("deploy/agent.example.toml", &documents::example_toml(SOURCES));
}

#[test]
fn names_are_unique_and_every_attribute_key_is_documented() {
    let keys = attributes(SOURCES);
    let all = instruments(SOURCES);
    for pair in all.windows(2) {
        assert_ne!(pair[0].name, pair[1].name);
    }
    for instrument in all {
        for key in attribute_keys(SOURCES, instrument) {
            let known = keys.iter().any(|(known, _)| *known == key);
            assert!(known, "{}: unknown key {key}", instrument.name);
        }
        assert!(instrument.description.ends_with('.'), "{}", instrument.name);
    }
}
