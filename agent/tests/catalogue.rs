//! Golden copy of the catalogue: names and attributes that users depend on.

use accelscope_export::document;

fn committed(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; run `cargo xtask bless`"))
}

#[test]
fn the_catalogue_is_as_committed() {
    assert_eq!(
        document::snapshot(),
        committed("agent/tests/catalogue.txt"),
        "a metric changed; if that is meant, run `cargo xtask bless` and commit what it writes"
    );
}

#[test]
fn the_documentation_is_generated_from_the_catalogue() {
    assert_eq!(
        document::metrics_md(),
        committed("docs/metrics.md"),
        "run `cargo xtask bless`"
    );
}
