//! Builds of the agent with each of its features alone, and with none.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Lints library and program with each choice of features; tests are linted with the default ones only.
pub(crate) fn run() -> Result<()> {
    let mut failed = Vec::new();
    for choice in choices()? {
        println!("features: {}", if choice.is_empty() { "none" } else { &choice });
        let status = Command::new(env!("CARGO"))
            .args(["clippy", "--quiet", "--locked", "--package", "agent", "--lib", "--bins"])
            .args(["--no-default-features", "--features", &choice])
            .args(["--", "--deny", "warnings"])
            .status()
            .context("cargo clippy cannot be started")?;
        if !status.success() {
            failed.push(if choice.is_empty() { "none".to_owned() } else { choice });
        }
    }
    if !failed.is_empty() {
        bail!(
            "the agent does not build cleanly with these features alone: {}",
            failed.join("; ")
        );
    }
    Ok(())
}

/// No feature, then each one in the manifest.
fn choices() -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest: toml::Table = text
        .parse()
        .with_context(|| format!("{} cannot be understood", path.display()))?;
    let features = manifest
        .get("features")
        .and_then(toml::Value::as_table)
        .with_context(|| format!("{} has no features", path.display()))?;
    let each = features.keys().filter(|name| *name != "default").cloned();
    Ok(std::iter::once(String::new()).chain(each).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_sampler_is_a_choice_and_so_is_none_of_them() {
        let choices = super::choices().unwrap();
        assert_eq!(choices[0], "");
        for name in [
            "ascend", "hailo", "holders", "host", "ioctl", "ipmi", "kmsg", "kubelet", "nvidia", "power",
        ] {
            assert!(choices.iter().any(|choice| choice == name), "{name}: {choices:?}");
        }
        assert!(!choices.iter().any(|choice| choice == "default"));
    }
}
