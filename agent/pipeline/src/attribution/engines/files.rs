//! Files that engines write, and their configuration: read without requiring more of their form than is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::owned::{self, Refused};
use super::patience::Author;
use accelscope_core::host::HostRoots;
use accelscope_core::host::mounts::Mounts;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::ProcessKey;
use accelscope_core::trust::Start;

/// Longest file that is read at once: they are some ten KiB, a few hundred with many mounts and a long seccomp profile.
const MAX_BYTES: usize = 4 << 20;
/// Longest list of containers, of which one entry at a time is kept: some 100,000 containers.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// Most files that are remembered as unusable.
const MAX_UNUSABLE: usize = 16;

/// Reader of files from one view of the file systems. All of them share the list of what could not be used. Each of its methods
/// may not return where a user can write: see [`Patience`](super::patience::Patience).
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) roots: HostRoots,
    /// Where what is mounted may not answer and is left alone.
    local: Option<Arc<Mounts>>,
    /// Whose mounts these are.
    view: View,
    /// Whether only what root alone decides about is read.
    is_roots: bool,
    unusable: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

/// Whose view of the file systems it is.
#[derive(Debug, Clone)]
enum View {
    Host,
    Process {
        processes: Processes,
        key: ProcessKey,
        /// Whether others than the host's root may mount there.
        is_strangers: bool,
    },
}

impl View {
    fn mounts(&self, roots: &HostRoots) -> Mounts {
        match self {
            Self::Host => Mounts::of_host(roots),
            Self::Process {
                processes,
                key,
                is_strangers: true,
            } => Mounts::of_stranger(processes, key.pid),
            Self::Process { processes, key, .. } => Mounts::of_process(processes, key.pid),
        }
    }
}

impl Files {
    /// Of the host.
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            local: None,
            view: View::Host,
            is_roots: false,
            unusable: Arc::default(),
        }
    }

    /// The same without what is on a remote file system: for paths that users choose.
    pub(super) fn local(&self) -> Self {
        Self {
            local: Some(Arc::new(self.view.mounts(&self.roots))),
            ..self.clone()
        }
    }

    /// The same with what is mounted now, where that counts.
    pub(super) fn now(&self) -> Self {
        if self.local.is_some() {
            self.local()
        } else {
            self.clone()
        }
    }

    /// The same without what others than root can change.
    pub(super) fn of_root(&self) -> Self {
        Self {
            is_roots: true,
            ..self.clone()
        }
    }

    /// As a process sees them.
    pub(super) fn of_process(&self, processes: &Processes, key: ProcessKey, is_strangers: bool) -> Self {
        let view = View::Process {
            processes: processes.clone(),
            key,
            is_strangers,
        };
        let files = Self {
            roots: HostRoots::new(processes.path(key.pid, "root")),
            view,
            ..self.clone()
        };
        files.local()
    }

    /// Whether the process still runs whose view it is: what was read before is that process' view then, and not that of another
    /// one with its id.
    pub(super) fn is_there(&self) -> bool {
        match &self.view {
            View::Host => true,
            View::Process { processes, key, .. } => processes.is_alive(*key),
        }
    }

    /// Where its paths begin.
    fn start(&self) -> Start {
        match &self.view {
            View::Host => Start::at(self.roots.path("/")),
            View::Process { processes, key, .. } => Start::of_process(processes, key.pid),
        }
    }

    /// Whether root alone decides what is at `path`. If not, the reason was noted.
    pub(super) fn is_roots(&self, path: &Path) -> bool {
        if self.is_remote(path) {
            return false;
        }
        self.used(path, owned::check(&self.start(), path)).is_some()
    }

    /// Notes that nothing is heard from there.
    pub(super) fn does_not_answer(&self, author: &Author) {
        let reason = "it did not answer in time, and is left alone until it does";
        tracing::warn!(from = %author, "containers' names cannot be read: {reason}");
        self.note(PathBuf::from(author.to_string()), reason.to_owned());
    }

    /// Notes that it answers again.
    pub(super) fn answers(&self, author: &Author) {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        if unusable.remove(Path::new(&author.to_string())).is_some() {
            tracing::info!(from = %author, "containers' names can be read again");
        }
    }

    pub(super) fn is_remote(&self, path: &Path) -> bool {
        self.local
            .as_ref()
            .is_some_and(|mounts| mounts.leads_to_remote(&self.roots, path))
    }

    /// The names in a directory, the first `most` of them.
    pub(super) fn names(&self, path: &Path, most: usize) -> Vec<String> {
        if self.is_remote(path) || (self.is_roots && !self.is_roots(path)) {
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
        let file = self.roots.open_stored(path)?;
        if self.is_roots {
            owned::check(&self.start(), path).map_err(|refused| match refused {
                Refused::Unseen(error) => error,
                refused => io::Error::other(refused.to_string()),
            })?;
        }
        Ok(file)
    }

    /// The result, or nothing after the reason was noted.
    fn used<T, E: Failure>(&self, path: &Path, result: Result<T, E>) -> Option<T> {
        let shown = match self.view {
            View::Host => path.to_owned(),
            View::Process { .. } => self.roots.path(path),
        };
        let error = match result {
            Err(error) if !error.is_absent() => error,
            result => {
                let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
                unusable.remove(&shown);
                return result.ok();
            }
        };
        let reason = error.reason();
        tracing::debug!(path = %shown.display(), reason, "a container's names cannot be read here");
        self.note(shown, reason);
        None
    }

    fn note(&self, path: PathBuf, reason: String) {
        let mut unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        if unusable.len() < MAX_UNUSABLE || unusable.contains_key(&path) {
            unusable.insert(path, reason);
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

impl Failure for Refused {
    fn reason(&self) -> String {
        self.to_string()
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Unseen(error) if error.is_absent())
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
