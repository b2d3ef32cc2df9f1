//! The container engines of the host, and what they know of their containers. Nothing of an engine's is called: it is all
//! read from its files, on threads that are waited for a moment.
//!
//! An engine speaks for the containers of whom it belongs to. Root's is one whose process and program, and the files and
//! directories that it names, root alone decides about.

mod bundle;
mod configured;
mod files;
mod owned;
mod patience;
mod place;
mod running;
mod state;
mod users;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::configured::{DEFAULTS, Named};
use self::files::Files;
use self::patience::{Author, Patience};
use self::place::Place;
use self::running::MAX_OF_OWNER;
use super::container::Container;
use super::logs;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
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
    patience: Patience,
    /// `attribution.engine_directories`.
    configured: Vec<PathBuf>,
    /// The configured ones, then the defaults.
    fixed: Vec<Place>,
    /// By the engines' own configuration, users' homes and running processes.
    found: Vec<Place>,
    next_search: Option<Instant>,
    /// Where nothing was when names were looked for last: one look is enough for all containers of which a run asks.
    absent: (Option<Instant>, HashMap<PathBuf, bool>),
    /// The container that this node is, by the groups of its first process.
    own: Option<String>,
}

impl Engines {
    /// Of the host. `configured` are further directories (`attribution.engine_directories`).
    pub fn new(roots: &HostRoots, configured: &[PathBuf]) -> Self {
        let files = Files::new(roots);
        let given = configured.iter().map(|path| Place {
            is_given: true,
            ..Place::new(&files, path)
        });
        let defaults = DEFAULTS.iter().map(|path| Place::new(&files, *path));
        Self {
            fixed: given.chain(defaults).collect(),
            files,
            patience: Patience::new(),
            configured: configured.to_vec(),
            found: Vec::new(),
            next_search: None,
            absent: (None, HashMap::new()),
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
    /// speaks for it, and one that an engine of this node has does not count.
    pub fn find(&mut self, cgroup: &Cgroup, now: Instant) -> Container {
        if self.absent.0 != Some(now) {
            self.absent = (Some(now), HashMap::new());
        }
        let outer = cgroup
            .outer_container
            .as_ref()
            .filter(|outer| Some(*outer) != self.own.as_ref());
        let is_claim = cgroup.user.is_some() || outer.is_some();
        if is_claim {
            // The engines that keep their files elsewhere have a say too.
            self.search_if_due(now);
            if self.is_anothers(cgroup) {
                return around(cgroup);
            }
        }
        let mut container = Container {
            id: cgroup.container_id.clone(),
            name: cgroup.container_name.clone(),
            pod_uid: cgroup.pod_uid.clone(),
            ..Container::default()
        };
        if let Some(id) = cgroup.container_id.as_deref().filter(|id| is_plain(id)) {
            self.fill(&mut container, id, Known::Fixed, cgroup);
            if !container.is_complete()
                && !is_claim
                && let Some(found) = self.link(id).filter(|found| !container.contradicts(found))
            {
                container.fill(found);
            }
            // Ids of another shape are not in the files of these engines.
            if !container.is_complete() && id.len() == 64 {
                self.fill(&mut container, id, Known::Found, cgroup);
                if !container.is_complete() && self.search_if_due(now) {
                    self.fill(&mut container, id, Known::Found, cgroup);
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
            && let Some(found) = self.pod(uid)
        {
            container.fill(found);
        }
        if container.is_in_pod() {
            container.name = None;
        }
        container
    }

    /// Whether an engine of this node has a container of that id, or its kubelet the pod.
    fn is_anothers(&mut self, cgroup: &Cgroup) -> bool {
        if let Some(id) = cgroup.container_id.as_deref().filter(|id| is_plain(id)) {
            let places = self.fixed.iter().chain(&self.found).filter(|place| place.is_nodes());
            for place in places.cloned().collect::<Vec<_>>() {
                if self.ask(&place, Container::default(), id) != Container::default() {
                    return true;
                }
            }
            if self.link(id).is_some() {
                return true;
            }
        }
        let pod = cgroup.pod_uid.as_deref().filter(|uid| is_plain(uid));
        pod.is_some_and(|uid| self.pod(uid).is_some())
    }

    /// Fills in what the engines of these places know that can have made the container.
    fn fill(&mut self, container: &mut Container, id: &str, known: Known, cgroup: &Cgroup) {
        let places = match known {
            Known::Fixed => &self.fixed,
            Known::Found => &self.found,
        };
        let own = self.own.as_deref();
        let places: Vec<Place> = places
            .iter()
            .filter(|place| place.speaks_for(cgroup, own))
            .cloned()
            .collect();
        for place in places {
            if container.is_complete() {
                return;
            }
            *container = self.ask(&place, std::mem::take(container), id);
        }
    }

    /// Whether a directory of the node is not there, as of this run.
    fn is_absent(&mut self, place: &Place) -> bool {
        if place.view.is_some() || !place.is_nodes() {
            return false;
        }
        if let Some(is_absent) = self.absent.1.get(&place.path) {
            return *is_absent;
        }
        let from = place.clone();
        let is_absent = self
            .patience
            .read(place.author(), &self.files, move || from.is_absent());
        let is_absent = is_absent.unwrap_or(false);
        self.absent.1.insert(place.path.clone(), is_absent);
        is_absent
    }

    /// The container with what is known at a place; as it was where that does not answer.
    fn ask(&mut self, place: &Place, container: Container, id: &str) -> Container {
        if self.is_absent(place) {
            return container;
        }
        let (from, before, id) = (place.clone(), container.clone(), id.to_owned());
        let read = move || from.filled(before, &id);
        self.patience
            .read(place.author(), &self.files, read)
            .unwrap_or(container)
    }

    fn link(&mut self, id: &str) -> Option<Container> {
        if self.is_absent(&Place::new(&self.files, logs::LINKS)) {
            return None;
        }
        let (roots, id) = (self.files.roots.clone(), id.to_owned());
        let read = move || logs::link(&roots, &id);
        self.patience
            .read(Author::Node(logs::LINKS.into()), &self.files, read)?
    }

    fn pod(&mut self, uid: &str) -> Option<Container> {
        if self.is_absent(&Place::new(&self.files, logs::PODS)) {
            return None;
        }
        let (roots, uid) = (self.files.roots.clone(), uid.to_owned());
        let read = move || logs::pod(&roots, &uid);
        self.patience.read(Author::Node(logs::PODS.into()), &self.files, read)?
    }

    /// The directories that exist, with whether they can be read; for the log and `agent doctor`.
    pub fn directories(&mut self, now: Instant) -> Vec<(PathBuf, bool)> {
        if self.next_search.is_none() {
            self.search(now);
        }
        let logs = [logs::LINKS, logs::PODS].map(|path| Place {
            is_given: true,
            ..Place::new(&self.files, path)
        });
        let all = self.fixed.iter().chain(&self.found).chain(&logs);
        let all: Vec<Place> = all.filter(|place| place.within.is_none()).cloned().collect();
        let mut directories = Vec::new();
        for place in all {
            let (author, path) = (place.author(), place.path.clone());
            let is_readable = self.patience.read(author, &self.files, move || place.is_readable());
            directories.extend(is_readable.flatten().map(|is_readable| (path, is_readable)));
        }
        directories
    }

    /// Files and configured directories that could not be used, with the reasons.
    pub fn unusable(&mut self) -> Vec<(PathBuf, String)> {
        let mut unusable = Vec::new();
        for path in self.configured.clone() {
            let (roots, named) = (self.files.roots.clone(), path.clone());
            let read = move || roots.names(&named, 1).err();
            if let Some(Some(error)) = self.patience.read(Author::Node(path.clone()), &self.files, read) {
                unusable.push((path, format!("in attribution.engine_directories: {error}")));
            }
        }
        unusable.extend(self.files.unusable());
        unusable
    }

    pub(super) fn is_configured(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Whether there was a search, because the last one was long ago.
    fn search_if_due(&mut self, now: Instant) -> bool {
        let is_due = self.next_search.is_none_or(|next| now >= next);
        if is_due {
            self.search(now);
        }
        is_due
    }

    /// Searches the engines' configuration, the users' homes and the running processes.
    fn search(&mut self, now: Instant) {
        let begun = Instant::now();
        let (patience, files) = (&mut self.patience, &self.files);
        let etc = Author::Node("/etc".into());
        let hosts = files.clone();
        let read = move || {
            (
                hosts.local(),
                configured::system(&hosts.of_root()),
                users::all(&hosts.local()),
            )
        };
        // Whoever does not answer is not asked for the rest either.
        let nothing = || (files.clone(), Named::default(), Vec::new());
        let (local, system, users) = patience.read(etc, files, read).unwrap_or_else(nothing);
        let mut places: Vec<Place> = Vec::new();
        for path in system.directories {
            let place = Place::new(&local, path);
            let exists = {
                let place = place.clone();
                move || place.exists()
            };
            if patience.read(place.author(), files, exists) == Some(true) {
                places.push(place);
            }
        }
        let known_users: HashSet<u32> = users
            .iter()
            .filter(|(_, is_known)| *is_known)
            .map(|(user, _)| user.uid)
            .collect();
        for (user, is_known) in users {
            let (author, local, of_users) = (user.author(is_known), local.clone(), system.of_users.clone());
            let read = move || users::places(&local, user, is_known, &of_users);
            places.extend(patience.read(author, files, read).unwrap_or_default());
        }
        let mut owned: HashMap<Author, usize> = HashMap::new();
        for running in running::all(&files.roots, |user| known_users.contains(&user)) {
            let author = running.author();
            let share = match (&running.within, &author) {
                // All of root's.
                (None, Author::Node(_)) => Author::Node("/".into()),
                _ => author.clone(),
            };
            let owned = owned.entry(share).or_default();
            if *owned >= MAX_OF_OWNER {
                continue;
            }
            let (local, of_users) = (local.clone(), system.of_users.clone());
            let read = move || running.places(&local, &of_users);
            let found = patience.read(author, files, read).unwrap_or_default();
            let known = |place: &Place| places.iter().any(|known| known.key() == place.key());
            let new: Vec<Place> = found.into_iter().filter(|place| !known(place)).collect();
            let room = MAX_OF_OWNER - *owned;
            *owned += new.len().min(room);
            places.extend(new.into_iter().take(room));
        }
        let mut known: HashSet<_> = self.fixed.iter().map(Place::key).collect();
        places.retain(|place| known.insert(place.key()));
        places.truncate(MAX_PLACES);
        self.found = places;
        tracing::debug!(found = ?self.found.iter().map(|place| &place.path).collect::<Vec<_>>(), "directories of engines");
        self.next_search = Some(now + (begun.elapsed() * REST).clamp(SOONEST, LATEST));
    }
}

/// Which places.
#[derive(Clone, Copy)]
enum Known {
    Fixed,
    Found,
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
