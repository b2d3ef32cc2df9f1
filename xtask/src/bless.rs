//! Generated files that are committed.

use std::path::{Path, PathBuf};

use accelscope_export::document;
use anyhow::{Context, bail};

use crate::proto;

/// Regenerates them; with `check` fails if one is out of date instead.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    proto::generate(check)?;
    keep("agent/tests/catalogue.txt", &document::snapshot(), check)?;
    keep("docs/metrics.md", &document::metrics_md(), check)
}

fn keep(path: &str, text: &str, check: bool) -> anyhow::Result<()> {
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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
