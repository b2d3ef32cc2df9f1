//! All fuzz targets over their corpora, built by the ordinary compiler without a fuzzer's instrumentation.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Builds all targets, writes their seeds and runs each over its corpus; stops at the first failing input.
pub(crate) fn run() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/fuzz");
    let corpus = folder.join("corpus");
    program(&folder, "seeds", std::slice::from_ref(&corpus))?;
    for target in targets(&folder)? {
        let inputs = files(&corpus.join(&target))
            .with_context(|| format!("agent/fuzz/src/bin/seeds.rs writes no seeds for {target}"))?;
        // As single arguments, inputs are run unchanged; those of a folder would be cut to the fuzzer's default length.
        program(&folder, &target, &inputs)?;
        println!("{target}: {} inputs", inputs.len());
    }
    Ok(())
}

/// The names of all fuzz targets.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let files = files(&folder.join("fuzz_targets"))?;
    let names = files.iter().filter_map(|path| path.file_stem()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// Files in a folder by name; an error if there is none.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot list {}", folder.display()))?;
    if files.is_empty() {
        bail!("{} is empty", folder.display());
    }
    files.sort();
    Ok(files)
}

/// Builds and runs a program of the fuzzer's workspace; prints its output if it fails. What has been built for the agent's
/// workspace serves here too.
fn program(folder: &Path, name: &str, arguments: &[PathBuf]) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| folder.join("../../target"), PathBuf::from);
    let output = Command::new(env!("CARGO"))
        .env("CARGO_TARGET_DIR", std::path::absolute(target)?)
        .args(["run", "--quiet", "--locked", "--bin", name, "--"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "{name} ended with {} (where its lock file is behind: cargo metadata --manifest-path agent/fuzz/Cargo.toml):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/fuzz");
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let declared: Vec<String> = manifest["bin"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|bin| bin["path"].as_str().unwrap().starts_with("fuzz_targets/"))
            .map(|bin| bin["name"].as_str().unwrap().to_owned())
            .collect();
        assert!(!declared.is_empty());
        let mut found = targets(&folder).unwrap();
        for name in &declared {
            assert!(found.contains(name), "{name}: {found:?}");
        }
        found.retain(|name| !declared.contains(name));
        assert!(found.is_empty(), "not in the manifest: {found:?}");
    }
}
