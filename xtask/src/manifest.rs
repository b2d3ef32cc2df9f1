//! The agent's manifest: a cargo feature and an optional dependency for each source of the one list.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::bless::{keep, root};

const LIST: &str = "agent/src/sources.rs";
const MANIFEST: &str = "agent/Cargo.toml";
const FEATURES: [&str; 2] = [
    "# Features of the sources (generated).\n",
    "# End of the features of the sources.\n",
];
const DEPENDENCIES: [&str; 2] = [
    "# Crates of the sources (generated).\n",
    "# End of the crates of the sources.\n",
];

/// Rewrites what the list of sources decides; whether it was different.
pub(crate) fn has_changed(check: bool) -> anyhow::Result<bool> {
    let read =
        |path: &str| std::fs::read_to_string(root().join(path)).with_context(|| format!("{path} cannot be read"));
    let sources = list(&read(LIST)?)?;
    let before = read(MANIFEST)?;
    let after = rewritten(&before, &sources)?;
    if after == before {
        return Ok(false);
    }
    keep(MANIFEST, &after, check)?;
    Ok(true)
}

/// Runs the same command anew, compiled with the sources that the manifest has now.
pub(crate) fn run_again() -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "xtask", "--", "bless"])
        .current_dir(root())
        .status()
        .context("cargo cannot be started")?;
    if !status.success() {
        bail!("the agent does not build with the sources of {LIST}");
    }
    Ok(())
}

/// Feature and package of each line such as `"acme" => accelscope_acme,`.
fn list(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let entry = |line: &str| {
        let (feature, package) = line.trim().strip_suffix(',')?.split_once(" => ")?;
        let feature = feature.strip_prefix('"')?.strip_suffix('"')?;
        let is_package = package.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_package.then(|| (feature.to_owned(), package.replace('_', "-")))
    };
    let sources: Vec<_> = text.lines().filter_map(entry).collect();
    if sources.is_empty() {
        bail!("{LIST} names no source; write each as \"acme\" => accelscope_acme,");
    }
    Ok(sources)
}

fn rewritten(manifest: &str, sources: &[(String, String)]) -> anyhow::Result<String> {
    let names: Vec<String> = sources.iter().map(|(feature, _)| format!("{feature:?}")).collect();
    let mut features = format!("default = [\"k8s-annotation\", {}]\n", names.join(", "));
    let mut dependencies = String::new();
    for (feature, package) in sources {
        features.push_str(&format!("{feature} = [\"dep:{package}\"]\n"));
        dependencies.push_str(&format!("{package} = {{ workspace = true, optional = true }}\n"));
    }
    let manifest = between(manifest, FEATURES, &features)?;
    between(&manifest, DEPENDENCIES, &dependencies)
}

/// `text` with what is between these two lines replaced.
fn between(text: &str, [begin, end]: [&str; 2], new: &str) -> anyhow::Result<String> {
    let parts = text
        .split_once(begin)
        .and_then(|(head, rest)| Some((head, rest.split_once(end)?.1)));
    let (head, tail) = parts.with_context(|| format!("{MANIFEST} lacks the line {:?}", begin.trim_end()))?;
    Ok(format!("{head}{begin}{new}{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_a_feature_and_a_dependency() {
        let sources = list("sources! {\n    \"acme\" => accelscope_acme,\n}\n").unwrap();
        let empty = format!(
            "[features]\n{}{}[dependencies]\n{}{}",
            FEATURES[0], FEATURES[1], DEPENDENCIES[0], DEPENDENCIES[1]
        );
        let manifest = rewritten(&empty, &sources).unwrap();
        assert!(
            manifest.contains("default = [\"k8s-annotation\", \"acme\"]\nacme = [\"dep:accelscope-acme\"]\n"),
            "{manifest}"
        );
        assert!(
            manifest.contains("accelscope-acme = { workspace = true, optional = true }\n"),
            "{manifest}"
        );
        assert_eq!(rewritten(&manifest, &sources).unwrap(), manifest, "it is stable");
        assert!(rewritten("[features]\n", &sources).is_err());
        assert!(list("fn main() {}").is_err());
    }
}
