//! Directories of engines by their running processes: what the command line and the environment say, and the files of an
//! engine that has another view of the file systems than the host.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::configured::{self, DEFAULTS};
use super::files::Files;
use super::place::{Owner, Place};
use super::users::{self, User};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::mounts::Mounts;
use accelscope_core::host::process::Processes;

/// Names of engines' processes, as the kernel cuts them.
const ENGINES: &[&str] = &[
    "balena-engine-d",
    "balenad",
    "conmon",
    "containerd",
    "crio",
    "dockerd",
    "isulad",
    "podman",
];

/// Flags that name a directory.
const DIRECTORIES: &[&str] = &["data-root", "graph", "g", "root", "runroot", "state"];
/// Flags that name a file with the configuration.
const FILES: &[&str] = &["config-file", "config", "c"];
/// Flags of conmon that name a container's bundle: `<root>/<driver>-containers/<id>/userdata`.
const BUNDLES: &[&str] = &["b", "bundle"];

/// Most directories and files that are taken from one process' command line.
const MAX_OF_PROCESS: usize = 32;
/// Most directories of the engines in one container, or of one user: the others' have their place too.
const MAX_OF_OWNER: usize = 16;

/// The directories of all engines that run. What is remote is left out.
pub(super) fn places(files: &Files, of_users: &[String]) -> Vec<Place> {
    let processes = Processes::new(&files.roots);
    let mut places: Vec<Place> = Vec::new();
    let mut known = HashSet::new();
    let mut owners: HashMap<(Option<String>, u32), usize> = HashMap::new();
    let hosts = processes.mount_namespace(1).ok();
    for pid in processes.pids().unwrap_or_default() {
        let is_engine = |name: String| ENGINES.contains(&name.as_str());
        if !processes.command_name(pid).is_ok_and(is_engine) {
            continue;
        }
        let engine = Engine::read(&processes, pid);
        let cgroup = processes
            .cgroup(pid)
            .map(|text| Cgroup::parse(&text))
            .unwrap_or_default();
        // A user's group that is named like a container is none that an engine could run in.
        let within = cgroup.container().filter(|_| cgroup.user.is_none()).map(str::to_owned);
        let user = if within.is_some() { 0 } else { engine.uid };
        let of_group = Owner::of(cgroup.user.unwrap_or(user));
        let owner = (within.clone(), if within.is_none() { engine.uid } else { 0 });
        let owned = owners.entry(owner).or_default();
        if *owned >= MAX_OF_OWNER {
            continue;
        }
        let own = processes
            .mount_namespace(pid)
            .ok()
            .filter(|own| Some(own) != hosts.as_ref());
        let view = own.map(|_| files.of_process(processes.path(pid, "root"), Mounts::of_process(&processes, pid)));
        // What it names comes first: that there are enough of others does not hide it.
        let mut found = Vec::new();
        if let Some(view) = &view {
            let system = configured::system(view).directories;
            let named = engine.directories(view, &[]).into_iter().chain(system);
            let all = named.chain(DEFAULTS.iter().map(PathBuf::from));
            found.extend(all.map(|path| (view, own, path)));
        }
        // An engine of a user has a view of its own, in which its data is where the host has it.
        if within.is_none() {
            let named = engine.directories(files, of_users);
            found.extend(named.into_iter().map(|path| (files, None, path)));
        }
        for (files, view, path) in found {
            let place = Place {
                within: within.clone(),
                owner: of_group,
                ..Place::new(files, path)
            };
            if *owned < MAX_OF_OWNER && known.insert((view, place.path.clone(), within.clone())) && place.exists() {
                *owned += 1;
                places.push(place);
            }
        }
    }
    places
}

/// An engine's process.
struct Engine {
    arguments: Vec<String>,
    environment: Vec<String>,
    uid: u32,
}

impl Engine {
    fn read(processes: &Processes, pid: u32) -> Self {
        Self {
            arguments: processes.arguments(pid).unwrap_or_default(),
            environment: processes.environment(pid).unwrap_or_default(),
            uid: processes.path(pid, "").metadata().map_or(0, |metadata| metadata.uid()),
        }
    }

    /// What it was told to use, and what it uses by itself as a user's.
    fn directories(&self, files: &Files, of_users: &[String]) -> Vec<PathBuf> {
        let mut found = self.values(DIRECTORIES);
        for file in self.values(FILES) {
            found.extend(configured::daemon(files, &file));
            found.extend(configured::settings(files, &file).directories);
        }
        let bundles = self.values(BUNDLES);
        let root = |bundle: &PathBuf| Some(bundle.ancestors().nth(3)?.to_owned());
        found.extend(bundles.iter().filter_map(root));
        if let Some(file) = self.variable("CONTAINERS_STORAGE_CONF") {
            found.extend(configured::settings(files, Path::new(file)).directories);
        }
        if let Some(home) = self.variable("HOME").filter(|_| self.uid != 0) {
            let user = User {
                name: self.variable("USER").unwrap_or_default().to_owned(),
                uid: self.uid,
                home: home.into(),
            };
            let (data, config) = users::usual(&user.home);
            let data = self.variable("XDG_DATA_HOME").map_or(data, PathBuf::from);
            let config = self.variable("XDG_CONFIG_HOME").map_or(config, PathBuf::from);
            found.extend(users::directories(files, &user, &data, &config, of_users));
        }
        found.retain(|path| path.is_absolute());
        found
    }

    /// The values of these flags, written `--flag=value` or `--flag value`, with one dash or two. What conmon is to call
    /// later has each of its arguments behind `--exit-command-arg`.
    fn values(&self, flags: &[&str]) -> Vec<PathBuf> {
        let arguments: Vec<&str> = self
            .arguments
            .iter()
            .map(String::as_str)
            .filter(|argument| *argument != "--exit-command-arg")
            .collect();
        let value = |(at, argument): (usize, &&str)| {
            let flag = argument.strip_prefix('-')?;
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value),
                None => (flag, *arguments.get(at + 1)?),
            };
            flags.contains(&name).then(|| PathBuf::from(value))
        };
        let values = arguments.iter().enumerate().skip(1).filter_map(value);
        values.take(MAX_OF_PROCESS).collect()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let value = |pair: &'_ String| pair.strip_prefix(name)?.strip_prefix('=').map(str::len);
        let (pair, length) = self.environment.iter().find_map(|pair| Some((pair, value(pair)?)))?;
        (length > 0).then(|| &pair[pair.len() - length..])
    }
}
