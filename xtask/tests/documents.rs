//! What others rely on changes only on purpose.

use accelscope::SOURCES;
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
