//! Files that engines write, and their configuration: read without requiring more of their form than is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use accelscope_core::host::HostRoots;
use accelscope_core::host::mounts::Mounts;

/// Longest file that is read at once: they are some ten KiB, a few hundred with many mounts and a long seccomp profile.
const MAX_BYTES: usize = 4 << 20;
/// Longest list of containers, of which one entry at a time is kept: some 100,000 containers.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// Most files that are remembered as unusable.
const MAX_UNUSABLE: usize = 16;

/// Reader of files from one view of the file systems. All of them share the list of what could not be used.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) roots: HostRoots,
    /// Where what is mounted may not answer and is left alone.
    local: Option<Arc<Mounts>>,
    /// Whether the paths are the host's.
    is_host: bool,
    unusable: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

impl Files {
    /// Of the host.
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            local: None,
            is_host: true,
            unusable: Arc::default(),
        }
    }

    /// The same without what is on a remote file system by `mounts`: for paths that users choose.
    pub(super) fn local(&self, mounts: Arc<Mounts>) -> Self {
        Self {
            local: Some(mounts),
            ..self.clone()
        }
    }

    /// As a process sees them that has `root`.
    pub(super) fn of_process(&self, root: PathBuf, mounts: Mounts) -> Self {
        Self {
            roots: HostRoots::new(root),
            local: Some(Arc::new(mounts)),
            is_host: false,
            unusable: self.unusable.clone(),
        }
    }

    pub(super) fn is_remote(&self, path: &Path) -> bool {
        self.local
            .as_ref()
            .is_some_and(|mounts| mounts.leads_to_remote(&self.roots, path))
    }

    /// The names in a directory, the first `most` of them.
    pub(super) fn names(&self, path: &Path, most: usize) -> Vec<String> {
        if self.is_remote(path) {
            return Vec::new();
        }
        self.roots.names(path, most).unwrap_or_default()
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        !self.is_remote(path) && self.roots.find(path).is_ok()
    }

    /// The values of these keys of the JSON object in `path`, or nothing: most places do not exist on most nodes. Of a key
    /// that is there twice the last one counts, as for the engines.
    pub(super) fn json(&self, path: &Path, keys: &[&str]) -> Option<Map<String, Value>> {
        let text = self.text(path)?;
        let mut json = serde_json::Deserializer::from_str(&text);
        // Docker and Podman replace their files, but a bundle may be read while it is being written.
        let found = Keys(keys)
            .deserialize(&mut json)
            .and_then(|found| json.end().map(|()| found));
        self.used(path, found)
    }

    /// The first object of the JSON list in `path` with which `is_wanted` agrees.
    pub(super) fn listed(&self, path: &Path, is_wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let file = self.used(path, self.opened(path))?;
        let mut wanted = None;
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(file.take(MAX_LIST_BYTES)));
        let read = Search(&is_wanted, &mut wanted).deserialize(&mut json);
        // What is behind it is not read.
        if wanted.is_none() {
            self.used(path, read);
        }
        wanted
    }

    /// The TOML in `path`.
    pub(super) fn toml(&self, path: &Path) -> Option<toml::Table> {
        let text = self.text(path)?;
        self.used(path, toml::from_str(&text))
    }

    /// What could not be used, with the reasons.
    pub(super) fn unusable(&self) -> Vec<(PathBuf, String)> {
        let unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        unusable.clone().into_iter().collect()
    }

    fn text(&self, path: &Path) -> Option<String> {
        let bytes = self.opened(path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            if bytes.len() > MAX_BYTES {
                return Err(io::Error::other(format!("longer than {MAX_BYTES} bytes")));
            }
            Ok(bytes)
        });
        let bytes = self.used(path, bytes)?;
        // Engines skip the mark that some editors write first.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn opened(&self, path: &Path) -> io::Result<std::fs::File> {
        if self.is_remote(path) {
            return Err(io::Error::other("on a remote file system, which may not answer"));
        }
        self.roots.open_stored(path)
    }

    /// The result, or nothing after the reason was noted.
    fn used<T, E: Failure>(&self, path: &Path, result: Result<T, E>) -> Option<T> {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = if self.is_host {
            path.to_owned()
        } else {
            self.roots.path(path)
        };
        match result {
            Ok(result) => {
                unusable.remove(&shown);
                Some(result)
            }
            Err(error) => {
                if error.is_absent() {
                    unusable.remove(&shown);
                } else {
                    let reason = error.reason();
                    tracing::debug!(path = %shown.display(), reason, "a container's names cannot be read here");
                    if unusable.len() < MAX_UNUSABLE || unusable.contains_key(&shown) {
                        unusable.insert(shown, reason);
                    }
                }
                None
            }
        }
    }
}

/// Why a file could not be used. What is in it is not quoted: any user's process may have named it.
trait Failure {
    fn reason(&self) -> String;

    /// Whether there is no such file.
    fn is_absent(&self) -> bool {
        false
    }
}

impl Failure for io::Error {
    fn reason(&self) -> String {
        self.to_string()
    }

    fn is_absent(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
}

impl Failure for serde_json::Error {
    fn reason(&self) -> String {
        if self.is_data() {
            return format!("JSON of another kind at line {} column {}", self.line(), self.column());
        }
        self.to_string()
    }
}

impl Failure for toml::de::Error {
    fn reason(&self) -> String {
        let text = self.to_string();
        let place = text.lines().next().unwrap_or_default();
        format!("{place}: {}", self.message())
    }
}

/// The text at the end of this path of keys.
pub(super) fn text(value: Option<&Value>, keys: &[&str]) -> Option<String> {
    let value = keys.iter().try_fold(value?, |value, key| value.get(key))?;
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Keeps these keys of an object.
struct Keys<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.0.contains(&&*key) {
                found.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Ends at the first entry of a list that is wanted.
struct Search<'a, F>(&'a F, &'a mut Option<Value>);

impl<'de, F: Fn(&Value) -> bool> DeserializeSeed<'de> for Search<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: Fn(&Value) -> bool> Visitor<'de> for Search<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(entry) = list.next_element::<Value>()? {
            if (self.0)(&entry) {
                *self.1 = Some(entry);
                break;
            }
        }
        Ok(())
    }
}
