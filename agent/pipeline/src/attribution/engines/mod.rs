//! The container engines of the host, and what they know of their containers. Nothing of an engine's is called: it is all
//! read from its files.

mod bundle;
mod configured;
mod files;
mod place;
mod running;
mod state;
mod users;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::configured::DEFAULTS;
use self::files::Files;
use self::place::Place;
use super::container::Container;
use super::logs;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::host::mounts::Mounts;

/// Most directories that are kept.
const MAX_PLACES: usize = 256;

/// Rest after a search for directories, as a multiple of the time that it took, within bounds.
const REST: u32 = 1000;
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_mins(1);

/// Where the engines keep what they know of their containers.
#[derive(Debug)]
pub struct Engines {
    files: Files,
    /// `attribution.engine_directories`.
    configured: Vec<PathBuf>,
    /// The configured ones, then the defaults.
    fixed: Vec<Place>,
    /// By the engines' own configuration, users' homes and running processes.
    found: Vec<Place>,
    next_search: Option<Instant>,
}

impl Engines {
    /// Of the host. `configured` are further directories (`attribution.engine_directories`).
    pub fn new(roots: &HostRoots, configured: &[PathBuf]) -> Self {
        let files = Files::new(roots);
        let fixed = configured.iter().cloned().chain(DEFAULTS.iter().map(PathBuf::from));
        Self {
            fixed: fixed.map(|path| Place::new(&files, path)).collect(),
            files,
            configured: configured.to_vec(),
            found: Vec::new(),
            next_search: None,
        }
    }

    /// Looks for the names of the container in `cgroup`: in the files of its engine, then in the names of the links in
    /// `/var/log/containers` and of the directories in `/var/log/pods`.
    ///
    /// Every source may be missing; each fills in what those before it left open.
    pub fn find(&mut self, cgroup: &Cgroup, now: Instant) -> Container {
        let mut container = Container {
            id: cgroup.container_id.clone(),
            name: cgroup.container_name.clone(),
            pod_uid: cgroup.pod_uid.clone(),
            ..Container::default()
        };
        if let Some(id) = cgroup.container_id.as_deref().filter(|id| is_plain(id)) {
            fill(&mut container, id, &self.fixed, cgroup);
            if !container.is_complete()
                && let Some(found) = logs::link(&self.files.roots, id).filter(|found| !container.contradicts(found))
            {
                container.fill(found);
            }
            // Ids of another shape are not in the files of these engines.
            if !container.is_complete() && id.len() == 64 {
                fill(&mut container, id, &self.found, cgroup);
                if !container.is_complete() && self.next_search.is_none_or(|next| now >= next) {
                    self.search(now);
                    fill(&mut container, id, &self.found, cgroup);
                }
            }
            // An id of another shape was chosen by the container's user, or has a name in it.
            if !container.is_in_pod() && id.len() != 64 {
                container.name.get_or_insert_with(|| id.to_owned());
            }
        }
        if let (None, Some(uid)) = (&container.pod_name, &container.pod_uid)
            && let Some(found) = logs::pod(&self.files.roots, uid)
        {
            container.fill(found);
        }
        if container.is_in_pod() {
            container.name = None;
        }
        container
    }

    /// The directories that exist, with whether they can be read; for the log and `agent doctor`.
    pub fn directories(&mut self, now: Instant) -> Vec<(PathBuf, bool)> {
        if self.next_search.is_none() {
            self.search(now);
        }
        let logs = [logs::LINKS, logs::PODS].map(|path| Place::new(&self.files, path));
        let all = self
            .fixed
            .iter()
            .chain(&self.found)
            .filter(|place| place.within.is_none());
        all.chain(&logs)
            .filter(|place| place.exists())
            .map(|place| {
                let names = place.files.roots.names(&place.path, 1);
                let is_denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
                (place.path.clone(), !names.is_err_and(is_denied))
            })
            .collect()
    }

    /// Files and configured directories that could not be used, with the reasons.
    pub fn unusable(&self) -> Vec<(PathBuf, String)> {
        let configured = self.configured.iter().filter_map(|path| {
            let error = self.files.roots.names(path, 1).err()?;
            Some((path.clone(), format!("in attribution.engine_directories: {error}")))
        });
        configured.chain(self.files.unusable()).collect()
    }

    pub(super) fn is_configured(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Searches the engines' configuration, the users' homes and the running processes.
    fn search(&mut self, now: Instant) {
        let begun = Instant::now();
        let files = self.files.local(Arc::new(Mounts::of_host(&self.files.roots)));
        let system = configured::system(&self.files);
        let mut paths = system.directories;
        for user in users::all(&files) {
            let (data, config) = users::usual(&user.home);
            paths.extend(users::directories(&files, &user, &data, &config, &system.of_users));
        }
        let paths = paths.into_iter().map(|path| Place::new(&files, path));
        let running = running::places(&files, &system.of_users);
        let mut known: HashSet<_> = self.fixed.iter().map(Place::key).collect();
        self.found.clear();
        for place in paths.chain(running) {
            if self.found.len() < MAX_PLACES && known.insert(place.key()) && place.exists() {
                self.found.push(place);
            }
        }
        tracing::debug!(found = ?self.found.iter().map(|place| &place.path).collect::<Vec<_>>(), "directories of engines");
        self.next_search = Some(now + (begun.elapsed() * REST).clamp(SOONEST, LATEST));
    }
}

fn fill(container: &mut Container, id: &str, places: &[Place], cgroup: &Cgroup) {
    for place in places {
        if container.is_complete() {
            return;
        }
        if place.within.is_none() || place.within == cgroup.outer_container {
            place.fill(container, id);
        }
    }
}

/// Whether it can be part of a path: an id may come from a cgroup that a container made itself.
fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.len() <= 128 && !id.starts_with('.') && id.bytes().all(allowed)
}
