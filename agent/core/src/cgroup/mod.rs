//! The container, pod, unit and batch job that a process belongs to, parsed from its cgroup paths. Nothing else knows what
//! such a path looks like.

mod job;
mod kubelet;
mod segment;
mod unit;

pub use job::{Job, Scheduler};

/// Content of a `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Of the innermost container; in a pod, of the pod's own one.
    pub container_id: Option<String>,
    /// Of a container that has a name besides its id, or instead of one (LXC, systemd-nspawn).
    pub container_name: Option<String>,
    /// Of its pod, as it stands in the path: for a static pod the hash of its manifest, which is not the
    /// `metadata.uid` that the API server shows.
    pub pod_uid: Option<String>,
    /// Id or name of the container in which the engine of the innermost one runs, where that is in one itself.
    pub outer_container: Option<String>,
    /// The user who could name the container's group as he liked, where that was not root: of a rootless engine, or of any
    /// program that has been given a group to divide.
    pub user: Option<u32>,
    /// Who has named the container, or the group where neither container nor unit is around, if that was not root of this node:
    /// users who have been given a group and containers that have groups within themselves, from the outermost, such as
    /// `user 1000`, `container <id>/user 1000` or `container <id>/container <id>`.
    pub claimed_by: Option<String>,
    /// What surrounds all of this and cannot be had in any number by what is in it: `pod <uid>` of the outermost pod, else
    /// the outermost container or the user's slice, whichever is around the other, else the user who has been given the group.
    pub outermost: Option<String>,
    /// The systemd unit of a process outside any container, or in the container that the unit consists of: one of the system's
    /// manager, which for those of a user's manager is `user@<uid>.service`. Login sessions have numbers, so that theirs is the
    /// user's slice.
    pub unit: Option<String>,
    /// The job of a batch system, which may contain containers.
    pub job: Option<Job>,
}

/// See [`Ranked::rank`].
type Rank<'a> = (
    bool,
    usize,
    [bool; 5],
    [&'a Option<String>; 5],
    (&'a Option<String>, &'a Option<String>, Option<u32>),
);

/// One path, with its rank among the paths of the same process.
#[derive(Debug, Default)]
struct Ranked {
    cgroup: Cgroup,
    /// Number of containers, one in another.
    depth: usize,
    /// Number of names in the path down to the group of what the process is in; 0 where that is nothing.
    group: usize,
}

impl Cgroup {
    /// From the text of `/proc/<pid>/cgroup`, whose lines are `<hierarchy>:<controllers>:<path>` (cgroups(7)). Lines of
    /// another shape are ignored.
    pub fn parse(text: &str) -> Self {
        Self::of_paths(paths(text))
    }

    /// The innermost container that any of these paths of one process names. On a host with cgroup v1 each hierarchy has
    /// its own, and containers may exist in some of them only.
    pub fn of_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of_owned(paths.into_iter().map(|path| (path, None)))
    }

    /// The same of paths of which it is known what root has not made.
    pub fn of_owned<'a>(paths: impl IntoIterator<Item = (&'a str, Option<Delegated>)>) -> Self {
        let mut best = Ranked::default();
        let mut job: Option<Job> = None;
        for found in paths
            .into_iter()
            .map(|(path, delegated)| Ranked::from_path(path, delegated))
        {
            job = job.max(found.cgroup.job.clone());
            if found.rank() > best.rank() {
                best = found;
            }
        }
        Self { job, ..best.cgroup }
    }

    /// Id of the innermost container, else its name.
    pub fn container(&self) -> Option<&str> {
        self.container_id.as_deref().or(self.container_name.as_deref())
    }

    /// Whether the process is in a container.
    pub fn is_contained(&self) -> bool {
        self.container_id.is_some() || self.container_name.is_some() || self.pod_uid.is_some()
    }

    /// Of one path, from the outermost group to the innermost: what is nested replaces what surrounds it.
    ///
    /// A path from outside the reader's own cgroup namespace begins with `..`, and only its end is known.
    pub fn from_path(path: &str) -> Self {
        Ranked::from_path(path, None).cgroup
    }

    /// The same, with the end of the path of its group: that of the container or pod, else of the job, else of the unit. What
    /// these have within themselves is left out. Nothing where the path is in none of them.
    pub fn with_group(path: &str, delegated: Option<Delegated>) -> Option<(Self, &str)> {
        let found = Ranked::from_path(path, delegated);
        let mut names = 0;
        let mut at = 0;
        for part in path.split('/') {
            names += usize::from(is_name(part));
            at += part.len();
            if names == found.group && names > 0 {
                return Some((found.cgroup, &path[..at]));
            }
            at += 1;
        }
        None
    }

    /// The same as the node has it that is the container `own`: what root of that container has named is root's.
    #[must_use]
    pub fn on_node(mut self, own: Option<&str>) -> Self {
        let all = self.claimed_by.as_deref().unwrap_or_default();
        let rest = own.and_then(|own| all.strip_prefix("container ")?.strip_prefix(own));
        match rest {
            Some("") => self.claimed_by = None,
            Some(rest) => {
                if let Some(rest) = rest.strip_prefix('/') {
                    self.claimed_by = Some(rest.to_owned());
                }
            }
            None => {}
        }
        self
    }

    /// Whether the names of the container or pod are claims of others than root.
    pub fn is_claimed(&self) -> bool {
        self.user.is_some() || self.outer_container.is_some()
    }
}

/// A group that another user than root has been given: what is below it is named as he likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delegated {
    /// Number of the names in the path from the root to that group.
    pub depth: usize,
    /// The user.
    pub user: u32,
}

/// The names in a path, without those that lead out of the reader's namespace.
pub fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| is_name(name))
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..")
}

/// The paths in the text of `/proc/<pid>/cgroup`.
pub fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Where in a path the name of the innermost group begins that is a container's or pod's own.
pub fn start_of_container(path: &str) -> Option<usize> {
    let (mut above, mut at, mut found) = (Vec::new(), 0, None);
    for text in path.split('/') {
        if !matches!(text, "" | "." | "..") {
            if segment::parse(text, &above).is_some() {
                found = Some(at);
            }
            above.push(text);
        }
        at += text.len() + 1;
    }
    found
}

/// The containers with their places in the path, and the user who has been given a group, in words from the outermost.
fn claimants(containers: &[(usize, String)], user: Option<Delegated>) -> Option<String> {
    let containers = containers.iter().map(|(at, id)| (*at, format!("container {id}")));
    let user = user.map(|user| (user.depth, format!("user {}", user.user)));
    // The group that a container at the same place would begin is the user's.
    let mut all: Vec<(usize, bool, String)> = containers.map(|(at, text)| (at, true, text)).collect();
    all.extend(user.map(|(depth, text)| (depth, false, text)));
    all.sort();
    let all: Vec<String> = all.into_iter().map(|(_, _, text)| text).collect();
    (!all.is_empty()).then(|| all.join("/"))
}

impl Ranked {
    fn from_path(path: &str, delegated: Option<Delegated>) -> Self {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let segments: Vec<&str> = names(path).collect();
        let outermost_of = |one: &Delegated| one.depth;
        let delegated = delegated
            .into_iter()
            .chain(unit::delegated(&segments))
            .min_by_key(outermost_of);
        // What root has named. A group that is called like a removed one has lost its name here.
        let depth = delegated.map_or(segments.len(), |delegated| delegated.depth);
        let roots = &segments[..depth.min(segments.len())];
        // What is made of a name below it is of that user.
        let user_at = |at: usize| {
            delegated
                .filter(|delegated| at >= delegated.depth)
                .map(|delegated| delegated.user)
        };
        let (mut found, mut containers) = (Cgroup::default(), Vec::new());
        let (mut pod, mut outermost) = (None, None);
        // Where the innermost container's own groups begin, and the outermost's.
        let (mut within, mut contained) = (0, None);
        let mut group = 0;
        for (at, text) in segments.iter().enumerate() {
            let Some(mut inner) = segment::parse(text, &segments[..at]) else {
                if outermost.is_none() && at < roots.len() && unit::is_user(text) {
                    outermost = Some((*text).to_owned());
                }
                continue;
            };
            // What a container of a pod makes within itself stays that container's.
            if found.pod_uid.is_some() && (found.container().is_some() || inner.container().is_none()) {
                break;
            }
            if user_at(at).is_some() || !kubelet::makes(text, &segments[within..at], path.starts_with("/..")) {
                inner.pod_uid = None;
            }
            if !inner.is_contained() {
                continue;
            }
            if inner.container().is_some() {
                within = at + 1;
                contained.get_or_insert(at);
            }
            pod = pod.or_else(|| Some(format!("pod {}", inner.pod_uid.as_deref()?)));
            outermost = outermost.or_else(|| match user_at(at) {
                // Users can have any number of containers.
                Some(user) => Some(format!("user {user}")),
                None => inner.container().map(str::to_owned),
            });
            // Runtimes make groups with the same id in each other, but none with a pod in between.
            let is_in_pod = found.pod_uid.is_some() || inner.pod_uid.is_some();
            let another = inner
                .container()
                .filter(|own| is_in_pod || containers.last().is_none_or(|(_, last)| last != own));
            containers.extend(another.map(|container| (at, container.to_owned())));
            // The pod's own container.
            let outer = found.pod_uid.filter(|_| inner.container().is_some());
            let unit = (containers.len() < 2 && segment::is_units_own(text))
                .then(|| unit::of_system(&segments[..at.min(roots.len())]));
            group = at + 1;
            found = Cgroup {
                pod_uid: inner.pod_uid.or(outer),
                unit: unit.flatten(),
                user: user_at(at),
                ..inner
            };
        }
        if !found.is_contained() {
            found.unit = unit::of_system(roots);
        }
        let around = containers.len() - usize::from(found.container().is_some());
        let around = &containers[..around];
        found.outer_container = around.last().map(|(_, container)| container.clone());
        let is_claimed = found.user.is_some() || (!found.is_contained() && found.unit.is_none());
        let user = delegated.filter(|_| is_claimed);
        found.claimed_by = claimants(around, user);
        let user = user.map(|delegated| format!("user {}", delegated.user));
        found.outermost = pod.or(outermost).or(user);
        // Jobs are around containers, and no user's to make.
        let ends = [contained, delegated.map(|delegated| delegated.depth)];
        let end = ends.into_iter().flatten().fold(segments.len(), usize::min);
        let job = job::find(&segments[..end]);
        if group == 0 {
            let of_job = job.as_ref().map(|(_, depth)| *depth);
            group = of_job.or_else(|| unit::depth_of_system(roots)).unwrap_or_default();
        }
        found.job = job.map(|(job, _)| job);
        Self {
            cgroup: found,
            depth: containers.len(),
            group,
        }
    }

    /// What root has made first, then more containers around the process, then what tells more of it. The texts only make the
    /// choice independent of the order of the paths.
    fn rank(&self) -> Rank<'_> {
        let cgroup = &self.cgroup;
        let is_roots = cgroup.is_contained() && cgroup.user.is_none();
        let told = [
            &cgroup.pod_uid,
            &cgroup.container_id,
            &cgroup.container_name,
            &cgroup.unit,
            &cgroup.claimed_by,
        ];
        let around = (&cgroup.outer_container, &cgroup.outermost, cgroup.user);
        (is_roots, self.depth, told.map(Option::is_some), told, around)
    }
}
