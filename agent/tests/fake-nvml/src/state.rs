//! The file that defines the library's answers.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;

type Stamp = (u64, i64, i64, u64);

struct Seen {
    stamp: Option<Stamp>,
    state: Arc<Value>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);

/// The file's current content; its last valid content if it cannot be read.
pub(crate) fn read() -> Arc<Value> {
    let mut seen = SEEN.lock().unwrap();
    let stamp = std::fs::metadata(path())
        .ok()
        .map(|file| (file.ino(), file.mtime(), file.mtime_nsec(), file.len()));
    if let Some(seen) = &*seen
        && seen.stamp == stamp
    {
        return Arc::clone(&seen.state);
    }
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    match serde_json::from_str::<Value>(&text) {
        Ok(state) => {
            let state = Arc::new(state);
            *seen = Some(Seen {
                stamp,
                state: Arc::clone(&state),
            });
            state
        }
        Err(_) => seen
            .as_ref()
            .map_or_else(Default::default, |seen| Arc::clone(&seen.state)),
    }
}

/// A file beside the state's.
pub(crate) fn beside(ending: &str) -> PathBuf {
    PathBuf::from(format!("{}.{ending}", path().display()))
}

fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("FAKE_NVML_STATE") {
            return path.into();
        }
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let files = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
        let is_ours = |path: &&str| path.contains("libnvidia-ml.so");
        PathBuf::from(format!("{}.json", files.into_iter().find(is_ours).unwrap_or_default()))
    })
}
