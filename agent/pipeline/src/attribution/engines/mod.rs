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
use self::place::{Owner, Place};
use super::container::Container;
use super::logs;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::host::mounts::Mounts;
use accelscope_core::host::process::Processes;

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
    /// The container that this node is, by the groups of its first process.
    own: Option<String>,
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
            own: own_container(roots),
        }
    }

    /// The container that this node is, if it is one.
    pub(super) fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Looks for the names of the container in `cgroup`: in the files of its engine, then in the names of the links in
    /// `/var/log/containers` and of the directories in `/var/log/pods`.
    ///
    /// Every source may be missing; each fills in what those before it left open.
    ///
    /// A container or pod in a group that root has not made is a claim: only the engine of that user, or in that container,
    /// speaks for it, and one that an engine of this node has is not believed.
    pub fn find(&mut self, cgroup: &Cgroup, now: Instant) -> Container {
        let outer = cgroup
            .outer_container
            .as_ref()
            .filter(|outer| Some(*outer) != self.own.as_ref());
        let is_claim = cgroup.user.is_some() || outer.is_some();
        if is_claim && self.is_anothers(cgroup) {
            return around(cgroup);
        }
        let mut container = Container {
            id: cgroup.container_id.clone(),
            name: cgroup.container_name.clone(),
            pod_uid: cgroup.pod_uid.clone(),
            ..Container::default()
        };
        if let Some(id) = cgroup.container_id.as_deref().filter(|id| is_plain(id)) {
            fill(&mut container, id, &self.fixed, cgroup, self.own.as_deref());
            if !container.is_complete()
                && !is_claim
                && let Some(found) = logs::link(&self.files.roots, id).filter(|found| !container.contradicts(found))
            {
                container.fill(found);
            }
            // Ids of another shape are not in the files of these engines.
            if !container.is_complete() && id.len() == 64 {
                fill(&mut container, id, &self.found, cgroup, self.own.as_deref());
                if !container.is_complete() && self.next_search.is_none_or(|next| now >= next) {
                    self.search(now);
                    fill(&mut container, id, &self.found, cgroup, self.own.as_deref());
                }
            }
            // An id of another shape was chosen by the container's user, or has a name in it.
            if !container.is_in_pod() && id.len() != 64 {
                container.name.get_or_insert_with(|| id.to_owned());
            }
        }
        if cgroup.pod_uid.is_none() && is_claim {
            // No user and no container makes a pod by saying so in a file.
            container = Container {
                id: container.id,
                name: container.name,
                image: container.image,
                ..Container::default()
            };
        }
        if let (None, Some(uid)) = (&container.pod_name, &container.pod_uid)
            && !is_claim
            && let Some(found) = logs::pod(&self.files.roots, uid)
        {
            container.fill(found);
        }
        if container.is_in_pod() {
            container.name = None;
        }
        container
    }

    /// Whether an engine of this node has a container of that id, or its kubelet the pod.
    fn is_anothers(&self, cgroup: &Cgroup) -> bool {
        let roots = &self.files.roots;
        let is_known = |id: &str| {
            let mut places = self.fixed.iter().chain(&self.found).filter(|place| place.is_nodes());
            let names = |place: &Place| {
                let mut container = Container::default();
                place.fill(&mut container, id);
                container != Container::default()
            };
            places.any(names) || logs::link(roots, id).is_some()
        };
        let id = cgroup.container_id.as_deref().filter(|id| is_plain(id));
        let pod = cgroup.pod_uid.as_deref().filter(|uid| is_plain(uid));
        id.is_some_and(is_known) || pod.is_some_and(|uid| logs::pod(roots, uid).is_some())
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
        let mut of_users = Vec::new();
        for user in users::all(&files) {
            let (data, config) = users::usual(&user.home);
            let directories = users::directories(&files, &user, &data, &config, &system.of_users);
            of_users.extend(directories.into_iter().map(|path| (path, user.owner())));
        }
        let paths = system
            .directories
            .into_iter()
            .map(|path| (path, Owner::Root))
            .chain(of_users);
        let paths = paths.map(|(path, owner)| Place {
            owner,
            ..Place::new(&files, path)
        });
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

fn fill(container: &mut Container, id: &str, places: &[Place], cgroup: &Cgroup, own: Option<&str>) {
    for place in places {
        if container.is_complete() {
            return;
        }
        if place.speaks_for(cgroup, own) {
            place.fill(container, id);
        }
    }
}

/// The outermost container around a container, if there is one: nobody in it has chosen that.
fn around(cgroup: &Cgroup) -> Container {
    let first = cgroup.claimed_by.as_deref().and_then(|all| all.split('/').next());
    // What a user has been given is no container.
    let outermost = first
        .and_then(|first| first.strip_prefix("container "))
        .map(str::to_owned);
    let (id, name) = match outermost {
        Some(outermost) if outermost.len() == 64 => (Some(outermost), None),
        outermost => (None, outermost),
    };
    Container {
        id,
        name,
        ..Container::default()
    }
}

/// The container of the host's first process.
fn own_container(roots: &HostRoots) -> Option<String> {
    let text = Processes::new(roots).cgroup(1).ok()?;
    Cgroup::parse(&text).container().map(str::to_owned)
}

/// Whether it can be part of a path: an id may come from a cgroup that a container made itself.
fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.len() <= 128 && !id.starts_with('.') && id.bytes().all(allowed)
}
