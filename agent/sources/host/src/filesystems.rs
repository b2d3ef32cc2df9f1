//! Space of the mounted file systems, by statvfs(3).
//!
//! The call asks the file system, whose server (NFS, FUSE) may not answer: it runs on a thread that can be left behind, and a
//! file system that does not answer is not asked again before it has.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::StatVfs;
use rustix::io::Errno;

use crate::catalogue::{FILESYSTEM_LIMIT, FILESYSTEM_USAGE, FILESYSTEM_UTILIZATION};
use crate::key::{
    SYSTEM_DEVICE, SYSTEM_FILESYSTEM_MODE, SYSTEM_FILESYSTEM_MOUNTPOINT, SYSTEM_FILESYSTEM_STATE,
    SYSTEM_FILESYSTEM_TYPE,
};
use crate::mounted::{Mounted, mounted};
use crate::readings::{Readings, Reason};
use accelscope_core::host::HostRoots;
use accelscope_core::host::callers::{Call, Callers};
use accelscope_core::metric::{Attributes, Timestamp};

/// Most file systems that are shown.
const MAX_FILESYSTEMS: usize = 128;
/// Time for all of them in one run, and for one.
const PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE_OF_ONE: Duration = Duration::from_millis(500);
/// Most calls that have not returned. Local ones have threads of their own, so that servers cannot take them all.
const MAX_HUNG_LOCAL: usize = 4;
const MAX_HUNG_REMOTE: usize = 8;
/// Bytes beyond which a size is none.
const MOST: u128 = 1 << 62;

/// What the call returns; `None` where something else is mounted there.
type Answer = io::Result<Option<StatVfs>>;

#[derive(Debug)]
struct Filesystem {
    mounted: Mounted,
    limit: Arc<Attributes>,
    /// `used`, `free`, `reserved`.
    states: [Arc<Attributes>; 3],
}

/// The file systems.
#[derive(Debug)]
pub(crate) struct Filesystems {
    roots: HostRoots,
    found: Vec<Filesystem>,
    local: Callers,
    remote: Callers,
    hung: HashMap<PathBuf, Call<Answer>>,
}

impl Filesystems {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            found: Vec::new(),
            local: Callers::new("file-systems", MAX_HUNG_LOCAL),
            remote: Callers::new("file-servers", MAX_HUNG_REMOTE),
            hung: HashMap::new(),
        }
    }

    /// Looks for what is mounted.
    pub(crate) fn update(&mut self, out: &mut Readings<'_>) {
        let found = match mounted(&self.roots) {
            Ok(found) => found,
            Err(error) => return out.failed(error),
        };
        if found.malformed > 0 {
            out.skip_many(found.malformed, Reason::Malformed);
        }
        let beyond = found.mounted.len().saturating_sub(MAX_FILESYSTEMS);
        if beyond > 0 {
            out.skip_many(beyond as u64, Reason::TooMany);
        }
        let known: HashSet<&Mounted> = self.found.iter().map(|one| &one.mounted).collect();
        let new: Vec<Mounted> = found.mounted.into_iter().take(MAX_FILESYSTEMS).collect();
        if known.len() != new.len() || !new.iter().all(|one| known.contains(one)) {
            self.found = distinct(new, out);
        }
    }

    /// Asks all of them.
    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        let end = Instant::now() + PATIENCE;
        self.hung.retain(|_, call| call.wait(Instant::now()).is_none());
        for one in &self.found {
            let point = &one.mounted.point;
            if self.hung.contains_key(point) {
                out.skip(Reason::NoAnswer);
                continue;
            }
            let callers = if one.mounted.is_local() {
                &self.local
            } else {
                &self.remote
            };
            let (path, asked) = (self.roots.path(point), one.mounted.clone());
            let Ok(call) = callers.start(move || ask(&path, &asked)) else {
                out.skip(Reason::NoAnswer);
                continue;
            };
            match call.wait(end.min(Instant::now() + PATIENCE_OF_ONE)) {
                Some(Ok(Some(space))) => one.points(&space, out),
                // Unmounted meanwhile, not visible from here, or another user's FUSE.
                Some(Ok(None)) => {}
                Some(Err(error)) => out.failed(error),
                None => {
                    out.skip(Reason::NoAnswer);
                    self.hung.insert(point.clone(), call);
                }
            }
        }
    }
}

/// The space of what is mounted at `path`, if that is what was looked for.
fn ask(path: &Path, mounted: &Mounted) -> Answer {
    let device = match rustix::fs::stat(path) {
        Ok(stat) => stat.st_dev,
        Err(Errno::NOENT | Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    if device != mounted.device && !mounted.has_subvolumes() {
        return Ok(None);
    }
    Ok(Some(rustix::fs::statvfs(path)?))
}

/// Those with series of their own. Mount points that are not UTF-8 may look the same as others; the first of such is shown.
fn distinct(mounted: Vec<Mounted>, out: &mut Readings<'_>) -> Vec<Filesystem> {
    let mut points: HashMap<Arc<Attributes>, PathBuf> = HashMap::new();
    let mut found: Vec<Filesystem> = mounted.into_iter().map(filesystem).collect();
    found.retain(|one| {
        let point = &one.mounted.point;
        // One may be mounted over the other at the same place: then one answers.
        let is_first = points.entry(one.limit.clone()).or_insert_with(|| point.clone()) == point;
        if !is_first {
            out.skip(Reason::Ambiguous);
        }
        is_first
    });
    found
}

fn filesystem(mounted: Mounted) -> Filesystem {
    let mode = if mounted.is_writable { "rw" } else { "ro" };
    let limit = Attributes::new([
        (SYSTEM_DEVICE, mounted.source.as_str().into()),
        (SYSTEM_FILESYSTEM_MODE, mode.into()),
        (
            SYSTEM_FILESYSTEM_MOUNTPOINT,
            mounted.point.to_string_lossy().as_ref().into(),
        ),
        (SYSTEM_FILESYSTEM_TYPE, mounted.kind.as_str().into()),
    ]);
    let states = ["used", "free", "reserved"].map(|state| limit.with([(SYSTEM_FILESYSTEM_STATE, state.into())]).into());
    Filesystem {
        mounted,
        limit: limit.into(),
        states,
    }
}

impl Filesystem {
    fn points(&self, space: &StatVfs, out: &mut Readings<'_>) {
        let time = Timestamp::now();
        let Some([used, free, reserved]) = by_state(space.f_frsize, space.f_blocks, space.f_bfree, space.f_bavail)
        else {
            return out.skip(Reason::OutOfRange);
        };
        let all = used + free + reserved;
        if all == 0 {
            return;
        }
        out.gauge(&FILESYSTEM_LIMIT, &self.limit, all, time);
        for (state, size) in self.states.iter().zip([used, free, reserved]) {
            out.gauge(&FILESYSTEM_USAGE, state, size, time);
        }
        out.gauge(&FILESYSTEM_UTILIZATION, &self.states[0], used as f64 / all as f64, time);
    }
}

/// Used, free and reserved bytes of so many blocks of that size; `None` where the numbers contradict each other.
fn by_state(size: u64, blocks: u64, free: u64, available: u64) -> Option<[i64; 3]> {
    // Some servers count below zero when space that is reserved for root is in use.
    let available = if available > i64::MAX as u64 { 0 } else { available };
    let (used, reserved) = (blocks.checked_sub(free)?, free.checked_sub(available)?);
    if u128::from(size) * u128::from(blocks) > MOST {
        return None;
    }
    Some([used, available, reserved].map(|count| (count * size) as i64))
}

#[cfg(test)]
#[path = "filesystems_tests.rs"]
mod tests;
