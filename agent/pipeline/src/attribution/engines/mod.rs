//! The container engines of the host, and what they know of their containers. Nothing of an engine's is called: it is all
//! read from its files.

mod bundle;
mod configured;
mod files;
mod place;
mod running;
mod state;
mod users;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::configured::DEFAULTS;
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
    roots: HostRoots,
    /// The configured ones, then the defaults.
    fixed: Vec<Place>,
    /// By the engines' own configuration, users' homes and running processes.
    found: Vec<Place>,
    next_search: Option<Instant>,
}

impl Engines {
    /// Of the host. `configured` are further directories (`attribution.engine_directories`).
    pub fn new(roots: &HostRoots, configured: &[PathBuf]) -> Self {
        let fixed = configured.iter().cloned().chain(DEFAULTS.iter().map(PathBuf::from));
        Self {
            roots: roots.clone(),
            fixed: fixed.map(|path| Place::new(roots, path)).collect(),
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
                && let Some(found) = logs::link(&self.roots, id).filter(|found| !container.contradicts(found))
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
            && let Some(found) = logs::pod(&self.roots, uid)
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
        let logs = [logs::LINKS, logs::PODS].map(|path| Place::new(&self.roots, path));
        let all = self
            .fixed
            .iter()
            .chain(&self.found)
            .filter(|place| place.within.is_none());
        all.chain(&logs)
            .filter(|place| place.exists())
            .map(|place| (place.path.clone(), place.roots.names(&place.path, 1).is_ok()))
            .collect()
    }

    /// Searches the engines' configuration, the users' homes and the running processes.
    fn search(&mut self, now: Instant) {
        let begun = Instant::now();
        let mounts = Mounts::of_host(&self.roots);
        let is_remote = |path: &Path| mounts.is_remote(path);
        let system = configured::system(&self.roots);
        let mut paths = system.directories;
        for user in users::all(&self.roots, &is_remote) {
            let (data, config) = users::usual(&user.home);
            paths.extend(users::directories(&self.roots, &user, &data, &config, &system.of_users));
        }
        paths.retain(|path| !is_remote(path));
        let paths = paths.into_iter().map(|path| Place::new(&self.roots, path));
        let running = running::places(&self.roots, &system.of_users, &is_remote);
        self.found.clear();
        for place in paths.chain(running) {
            let known = self.fixed.iter().chain(&self.found).any(|other| other.is_same(&place));
            if !known && self.found.len() < MAX_PLACES && place.exists() {
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
