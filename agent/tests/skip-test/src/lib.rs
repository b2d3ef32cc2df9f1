//! Tests of what a machine may lack: skipped there, unless `ACCELSCOPE_REQUIRE` contains the feature's name.

#![forbid(unsafe_code)]

use std::io::Write;

/// Whether a test that needs the feature must not be skipped.
pub fn is_required(feature: &str) -> bool {
    let required = std::env::var("ACCELSCOPE_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name.trim() == feature)
}

/// Reports that a test is skipped.
///
/// # Panics
///
/// If the feature is required.
#[track_caller]
pub fn skip(feature: &str, why: &str) {
    assert!(!is_required(feature), "ACCELSCOPE_REQUIRE asks for {feature}: {why}");
    // The harness hides what a test that passes prints by macro.
    writeln!(
        std::io::stderr(),
        "SKIPPED: {feature} is missing: {why} (ACCELSCOPE_REQUIRE={feature} makes this a failure)"
    )
    .ok();
}
