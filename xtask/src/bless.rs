//! Generated files that are committed.

use std::path::{Path, PathBuf};

use accelscope::SOURCES;
use anyhow::{Context, bail};
use xtask::documents;

use crate::{manifest, proto};

/// Regenerates them; with `check` fails if one is out of date instead.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    proto::generate(check)?;
    if manifest::has_changed(check)? {
        // This program was built without the new source.
        return manifest::run_again();
    }
    keep("agent/tests/catalogue.txt", &documents::snapshot(SOURCES), check)?;
    keep("docs/metrics.md", &documents::metrics_md(SOURCES), check)?;
    keep("docs/configuration.md", &documents::configuration_md(SOURCES), check)?;
    keep("deploy/agent.example.toml", &documents::example_toml(SOURCES), check)
}

pub(crate) fn keep(path: &str, text: &str, check: bool) -> anyhow::Result<()> {
    let full = root().join(path);
    if std::fs::read_to_string(&full).is_ok_and(|committed| committed == text) {
        return Ok(());
    }
    if check {
        bail!("{path} is out of date; run `cargo xtask bless` and commit what it writes");
    }
    if let Some(folder) = full.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    std::fs::write(&full, text).with_context(|| format!("{path} cannot be written"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
