//! Sources and toolchain of the committed objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    ARCHITECTURES, object_path, prebuilt, root,
    toolchain::{Toolchain, Versions},
};

const NAME: &str = "PROVENANCE.toml";
const HEADER: &str = "# What the objects beside this file were built from. Written by `cargo xtask build-ebpf`; checked by \
    `cargo xtask build-ebpf --check`.\n\n";

/// The file `PROVENANCE.toml`. Digests are SHA-256.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provenance {
    /// Digest of the programs and the layouts that they share with the agent.
    pub(super) sources: String,
    /// Digest of the programs' lock file.
    pub(super) lock: String,
    /// Digest of each object, by file name.
    pub(super) objects: BTreeMap<String, String>,
    pub(super) toolchain: Versions,
}

impl Provenance {
    /// Provenance of the current sources.
    pub(super) fn now(toolchain: Option<&Toolchain>) -> Result<Self> {
        let folder = root().join("agent-ebpf");
        let mut sources = vec![
            folder.join("Cargo.toml"),
            folder.join("programs/Cargo.toml"),
            folder.join("programs/build.rs"),
            folder.join("programs/src"),
        ];
        // Files that only the agent compiles do not change the programs.
        sources.extend(
            files(&folder.join("src"))?
                .into_iter()
                .filter(|path| !path.ends_with("object.rs")),
        );
        let mut objects = BTreeMap::new();
        for architecture in ARCHITECTURES {
            let path = object_path(architecture);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            objects.insert(name, digest(&read(&path)?));
        }
        Ok(Self {
            sources: tree(&sources)?,
            lock: digest(&read(&folder.join("programs/Cargo.lock"))?),
            objects,
            toolchain: match toolchain {
                Some(toolchain) => toolchain.versions.clone(),
                None => Self::read()?.toolchain,
            },
        })
    }

    /// The committed provenance.
    pub(super) fn read() -> Result<Self> {
        let path = prebuilt().join(NAME);
        let text = String::from_utf8(read(&path)?).with_context(|| format!("{} is not text", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not what `cargo xtask build-ebpf` writes", path.display()))
    }

    pub(super) fn write(&self) -> Result<()> {
        let path = prebuilt().join(NAME);
        let text = toml::to_string(self).context("cannot write provenance as TOML")?;
        std::fs::write(&path, format!("{HEADER}{text}")).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Digest of bytes, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Digest of files and folders: relative names and contents.
pub(super) fn tree(paths: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in paths {
        let base = path.parent().unwrap_or(path);
        for file in files(path)? {
            let bytes = read(&file)?;
            let name = file.strip_prefix(base).unwrap_or(&file).to_string_lossy();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(&bytes);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// All files below a path, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .with_context(|| format!("cannot list {}", path.display()))?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        found.extend(files(&entry)?);
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
