//! The container, pod, unit and batch job that a process belongs to, parsed from its cgroup paths. Nothing else knows what
//! such a path looks like.

mod job;
mod segment;
mod unit;

pub use job::{Job, Scheduler};

/// Content of a `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Of the innermost container.
    pub container_id: Option<String>,
    /// Of a container that has a name besides its id, or instead of one (LXC, systemd-nspawn).
    pub container_name: Option<String>,
    /// Of the innermost pod, as it stands in the path: for a static pod the hash of its manifest, which is not the
    /// `metadata.uid` that the API server shows.
    pub pod_uid: Option<String>,
    /// Id or name of the container in which the engine of the innermost one runs, where that is in one itself.
    pub outer_container: Option<String>,
    /// What surrounds all of this and cannot be had in any number by what is in it: `pod <uid>` of the outermost pod, else
    /// the outermost container or the user's slice, whichever is around the other.
    pub outermost: Option<String>,
    /// The systemd unit of a process outside any container, or in the container that the unit consists of. Login sessions
    /// have numbers, so that theirs is the user's slice.
    pub unit: Option<String>,
    /// The job of a batch system, which may contain containers.
    pub job: Option<Job>,
}

/// One path, with its rank among the paths of the same process.
#[derive(Debug, Default)]
struct Ranked {
    cgroup: Cgroup,
    /// Number of containers, one in another.
    depth: usize,
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
        let mut best = Ranked::default();
        let mut job: Option<Job> = None;
        for found in paths.into_iter().map(Ranked::from_path) {
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
        Ranked::from_path(path).cgroup
    }
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

impl Ranked {
    fn from_path(path: &str) -> Self {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !matches!(*segment, "" | "." | ".."))
            .collect();
        let (mut found, mut containers) = (Cgroup::default(), Vec::new());
        let (mut pod, mut outermost) = (None, None);
        for (at, text) in segments.iter().enumerate() {
            let Some(inner) = segment::parse(text, &segments[..at]) else {
                if outermost.is_none() && unit::is_user(text) {
                    outermost = Some((*text).to_owned());
                }
                continue;
            };
            pod = pod.or_else(|| Some(format!("pod {}", inner.pod_uid.as_deref()?)));
            outermost = outermost.or_else(|| inner.container().map(str::to_owned));
            // Runtimes make groups with the same id in each other.
            let another = inner
                .container()
                .filter(|own| containers.last().is_none_or(|last| last != own));
            containers.extend(another.map(str::to_owned));
            // A container that a container of a pod has made still is that pod's.
            let outer = found.pod_uid.filter(|_| inner.container_id.is_some());
            let unit = segment::is_units_own(text).then(|| unit::innermost(&segments[..at]));
            found = Cgroup {
                pod_uid: inner.pod_uid.or(outer),
                unit: unit.flatten(),
                ..inner
            };
        }
        if !found.is_contained() {
            found.unit = unit::innermost(&segments);
        }
        let around = containers.len() - usize::from(found.container().is_some());
        found.outer_container = around.checked_sub(1).map(|at| containers[at].clone());
        found.outermost = pod.or(outermost);
        found.job = job::find(&segments);
        Self {
            cgroup: found,
            depth: containers.len(),
        }
    }

    /// More containers around the process first, then what tells more of it. The texts only make the choice independent of
    /// the order of the paths.
    fn rank(&self) -> (usize, [bool; 4], [&Option<String>; 4]) {
        let cgroup = &self.cgroup;
        let told = [
            &cgroup.pod_uid,
            &cgroup.container_id,
            &cgroup.container_name,
            &cgroup.unit,
        ];
        (self.depth, told.map(Option::is_some), told)
    }
}
