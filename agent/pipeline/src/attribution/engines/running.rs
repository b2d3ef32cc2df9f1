//! Directories of engines by their running processes: what the command line and the environment name, and the files of an
//! engine that has another view of the file systems than the host.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::configured::{self, DEFAULTS};
use super::files::Files;
use super::owned;
use super::patience::Author;
use super::place::{Owner, Place};
use super::users::{self, User};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::ProcessKey;

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
pub(super) const MAX_OF_OWNER: usize = 16;

/// Most processes of one container or of one user that are looked at, and most of all of them. Any user can start as many that
/// are called like an engine as may run at all. Root's are all looked at.
const MAX_PROCESSES_OF_OWNER: usize = 64;
const MAX_PROCESSES: usize = 512;

/// A process that is called like an engine, with what the kernel shows of it.
#[derive(Debug, Clone)]
pub(super) struct Running {
    processes: Processes,
    key: ProcessKey,
    /// The container that it is in.
    pub(super) within: Option<String>,
    /// The owner of the containers that it speaks for.
    owner: Owner,
    /// Its real user.
    user: u32,
    /// Whether it is root's, as far as can be said without a look at its program.
    is_roots: bool,
    /// Whether its user namespace is the host's.
    is_in_hosts: bool,
    /// Its mount namespace, where that counts: it has another view of the file systems than the host.
    view: Option<u64>,
}

/// A process that is called like an engine, with the least that says whose it is.
struct Candidate {
    pid: u32,
    /// Real, effective, saved and file system user.
    users: Vec<u32>,
    cgroup: Cgroup,
}

/// Those that run and speak for somebody: root's first, then one of each container and user after the other, users that
/// `is_known` before others, since a user can have a great many of these (subuid(5)). No file system is asked.
pub(super) fn all(roots: &HostRoots, is_known: impl Fn(u32) -> bool) -> Vec<Running> {
    let (processes, cgroups) = (Processes::new(roots), Cgroups::new(roots));
    let hosts = (processes.mount_namespace(1).ok(), processes.namespaces(1).ok());
    let is_engine = |pid: &u32| {
        let name = processes.command_name(*pid);
        name.is_ok_and(|name| ENGINES.contains(&name.as_str()))
    };
    let pids = processes.pids().unwrap_or_default().into_iter().filter(is_engine);
    let (of_root, others): (Vec<_>, Vec<_>) = pids
        .filter_map(|pid| Candidate::read(&processes, &cgroups, pid))
        .partition(Candidate::may_be_roots);
    let mut counts = HashMap::new();
    let mut ranked: Vec<_> = others
        .into_iter()
        .filter_map(|candidate| {
            let is_of_stranger = candidate.within().is_none() && !is_known(candidate.users[0]);
            let nth = counts.entry(candidate.share()).or_insert(0_usize);
            *nth += 1;
            (*nth <= MAX_PROCESSES_OF_OWNER).then_some(((is_of_stranger, *nth), candidate))
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let others = ranked.into_iter().take(MAX_PROCESSES).map(|(_, candidate)| candidate);
    let read = |candidate: Candidate| Running::read(&processes, candidate, &hosts);
    of_root.into_iter().chain(others).filter_map(read).collect()
}

impl Candidate {
    fn read(processes: &Processes, cgroups: &Cgroups, pid: u32) -> Option<Self> {
        let users = processes.users(pid).ok().filter(|users| !users.is_empty())?;
        let cgroup = cgroups.parse(&processes.cgroup(pid).ok()?);
        Some(Self { pid, users, cgroup })
    }

    /// The container that it is in. A user's group that is named like a container is none that an engine could run in.
    fn within(&self) -> Option<&str> {
        self.cgroup.container().filter(|_| self.cgroup.user.is_none())
    }

    /// Whether it is root's as far as user and group say.
    fn may_be_roots(&self) -> bool {
        self.users == [0; 4] && self.within().is_none()
    }

    /// Whose share it takes: that of a container, or of a user.
    fn share(&self) -> (Option<String>, u32) {
        let within = self.within().map(str::to_owned);
        let user = if within.is_some() { 0 } else { self.users[0] };
        (within, user)
    }
}

impl Running {
    fn read(processes: &Processes, candidate: Candidate, hosts: &(Option<u64>, Option<[PathBuf; 2]>)) -> Option<Self> {
        let within = candidate.within().map(str::to_owned);
        let Candidate { pid, users, cgroup } = candidate;
        let key = processes.key(pid).ok()?;
        let user = *users.first()?;
        let own = processes.namespaces(pid).ok();
        let is_same = |kind: usize| {
            own.as_ref()
                .is_some_and(|own| hosts.1.as_ref().map(|hosts| &hosts[kind]) == Some(&own[kind]))
        };
        // What is in another PID namespace is in a container, of whatever kind. One that su, sudo or the like have become has the
        // real user of who started it.
        let is_roots = users == [0; 4] && is_same(0) && is_same(1);
        let owner = match (&within, cgroup.user) {
            (Some(_), _) => Owner::Root,
            (None, None) if is_roots => Owner::Root,
            (None, Some(user)) if is_roots => Owner::of(user),
            // Root that acts as somebody else, or in a container, or that is not the host's.
            _ if user == 0 => return None,
            (None, Some(group)) if group != user => return None,
            _ => Owner::User(user),
        };
        // An engine of a user has a view of its own, in which its data is where the host has it.
        let has_view = within.is_some() || is_roots;
        let view = processes.mount_namespace(pid).ok().filter(|own| Some(*own) != hosts.0);
        Some(Self {
            processes: processes.clone(),
            key,
            view: view.filter(|_| has_view),
            within,
            owner,
            user,
            is_roots,
            is_in_hosts: is_same(1),
        })
    }

    /// Who decides whether a read of its files returns.
    pub(super) fn author(&self) -> Author {
        match (&self.within, self.is_roots) {
            (Some(container), _) => Author::Container(container.clone()),
            (None, true) => Author::Node(self.processes.path(self.key.pid, "")),
            (None, false) => Author::User(self.user),
        }
    }

    /// Its directories that exist. `files` are the host's, without what is remote.
    pub(super) fn places(&self, files: &Files, of_users: &[String]) -> Vec<Place> {
        let pid = self.key.pid;
        let is_of_root = self.within.is_none() && self.is_roots;
        if is_of_root && !owned::is_roots_program(&self.processes.path(pid, "exe")) {
            return Vec::new();
        }
        let engine = Engine {
            arguments: self.processes.arguments(pid).unwrap_or_default(),
            environment: self.processes.environment(pid).unwrap_or_default(),
            uid: self.user,
        };
        // What it names must be root's where it speaks for root.
        let to_read = |files: &Files| {
            if is_of_root && self.owner == Owner::Root {
                files.of_root()
            } else {
                files.clone()
            }
        };
        let view = self
            .view
            .map(|_| files.of_process(&self.processes, self.key, !self.is_in_hosts));
        // What it names comes first: that there are enough of others does not hide it.
        let mut found = Vec::new();
        if let Some(view) = &view {
            let read = to_read(view);
            let system = configured::system(&read).directories;
            let named = engine.directories(&read, &[]).into_iter().chain(system);
            let all = named.chain(DEFAULTS.iter().map(PathBuf::from));
            found.extend(all.map(|path| (view, self.view, path)));
        }
        if self.within.is_none() {
            let named = engine.directories(&to_read(files), of_users);
            found.extend(named.into_iter().map(|path| (files, None, path)));
        }
        let places = found.into_iter().map(|(files, view, path)| Place {
            view,
            within: self.within.clone(),
            owner: self.owner,
            ..Place::new(files, path)
        });
        let mut known = HashSet::new();
        let places = places.filter(|place| known.insert(place.key()) && place.exists());
        let places: Vec<Place> = places.take(MAX_OF_OWNER).collect();
        // Another process may have its id by now.
        if self.processes.is_alive(self.key) {
            places
        } else {
            Vec::new()
        }
    }
}

/// What an engine's process was started with.
struct Engine {
    arguments: Vec<String>,
    environment: Vec<String>,
    /// Its user.
    uid: u32,
}

impl Engine {
    /// What it was configured to use, and what it uses by itself as a user's.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A host without processes but for its first one.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            host.start(1, "init", 0, "/init.scope");
            host
        }

        fn start(&self, pid: u32, name: &str, user: u32, group: &str) {
            let process = self.0.path().join(format!("proc/{pid}"));
            fs::create_dir_all(process.join("ns")).unwrap();
            for (file, text) in [
                ("comm", format!("{name}\n")),
                (
                    "status",
                    format!("Name:\t{name}\nUid:\t{user}\t{user}\t{user}\t{user}\n"),
                ),
                ("cgroup", format!("0::{group}\n")),
                ("stat", fs::read_to_string("/proc/self/stat").unwrap()),
            ] {
                fs::write(process.join(file), text).unwrap();
            }
            for (name, target) in [("mnt", "mnt:[1]"), ("pid", "pid:[2]"), ("user", "user:[3]")] {
                symlink(target, process.join("ns").join(name)).unwrap();
            }
        }

        fn all(&self) -> Vec<Running> {
            all(&HostRoots::new(self.0.path()), |user| user < 2000)
        }
    }

    fn pids(of: &[Running]) -> Vec<u32> {
        of.iter().map(|running| running.key.pid).collect()
    }

    #[test]
    fn a_great_many_of_a_user_are_looked_at_in_part_and_root_s_come_first() {
        let host = Host::new();
        let user = "/user.slice/user-1000.slice/session-1.scope";
        for pid in 100..2100 {
            host.start(pid, "podman", 1000, user);
        }
        for pid in [50, 5000] {
            host.start(pid, "containerd", 0, "/system.slice/containerd.service");
        }
        host.start(6000, "podman", 1001, "/user.slice/user-1001.slice/session-2.scope");
        let all = host.all();
        let found = pids(&all);
        let mut first = found[..2].to_vec();
        first.sort_unstable();
        assert_eq!(first, [50, 5000]);
        assert_eq!(found.len(), 3 + MAX_PROCESSES_OF_OWNER);
        assert!(found[2..4].contains(&6000), "one of each user in turn: {found:?}");
    }

    #[test]
    fn a_great_many_users_and_containers_are_looked_at_in_part_and_known_users_come_first() {
        let host = Host::new();
        for uid in 100_000..102_000 {
            host.start(uid, "podman", uid, "/user.slice/user-1000.slice/session-1.scope");
        }
        host.start(200_000, "podman", 1500, "/user.slice/user-1500.slice/session-2.scope");
        let container = format!("/docker/{}", "ab".repeat(32));
        for pid in 300_000..300_200 {
            host.start(pid, "dockerd", 0, &container);
        }
        let mut counts = HashMap::<_, usize>::new();
        let all = host.all();
        for running in &all {
            *counts.entry(running.within.is_some()).or_default() += 1;
        }
        assert_eq!(counts.get(&true), Some(&MAX_PROCESSES_OF_OWNER));
        assert!(pids(&all).contains(&200_000));
        assert!(all.len() <= MAX_PROCESSES);
    }
}
