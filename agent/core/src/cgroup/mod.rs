//! The container, pod or unit that a process belongs to, parsed from its cgroup path. Nothing else knows what such a path
//! looks like.

mod segment;

/// Content of a `/proc/<pid>/cgroup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Of the innermost container.
    pub container_id: Option<String>,
    /// Of a container that has no id but a name (LXC, systemd-nspawn).
    pub container_name: Option<String>,
    /// Of the innermost pod, as it stands in the path: for a static pod the hash of its manifest, which is not the
    /// `metadata.uid` that the API server shows.
    pub pod_uid: Option<String>,
    /// The systemd unit of a process outside any container. Login sessions have numbers, so that theirs is the user's
    /// slice.
    pub unit: Option<String>,
}

impl Cgroup {
    /// From the text of `/proc/<pid>/cgroup`, whose lines are `<hierarchy>:<controllers>:<path>` (cgroups(7)).
    ///
    /// On a hybrid host the pods may exist in some hierarchies only: the most specific path is taken. Lines of another
    /// shape are ignored.
    pub fn parse(text: &str) -> Self {
        let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let mut best = Self::default();
        for cgroup in paths.map(Self::from_path) {
            if cgroup.specificity() > best.specificity() {
                best = cgroup;
            }
        }
        best
    }

    /// Whether the process is in a container.
    pub fn is_contained(&self) -> bool {
        self.container_id.is_some() || self.container_name.is_some() || self.pod_uid.is_some()
    }

    /// Rank among the paths of one process: container and pod, container, pod, named container, unit, nothing.
    pub fn specificity(&self) -> impl Ord + use<> {
        [
            self.container_id.is_some(),
            self.pod_uid.is_some(),
            self.container_name.is_some(),
            self.unit.is_some(),
        ]
    }

    /// Of one path, from the outermost group to the innermost: what is nested replaces what surrounds it.
    ///
    /// A path from outside the reader's own cgroup namespace begins with `..`, and only its end is known.
    pub fn from_path(path: &str) -> Self {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !matches!(*segment, "" | "." | ".."))
            .collect();
        let mut found = Self::default();
        for (at, text) in segments.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| segments[before]);
            if let Some(inner) = segment::parse(text, before, at == 1) {
                // A container that a container of a pod has made still is that pod's.
                let outer = found.pod_uid.filter(|_| inner.container_id.is_some());
                found = Self {
                    pod_uid: inner.pod_uid.or(outer),
                    ..inner
                };
            }
        }
        if !found.is_contained() {
            found.unit = unit(&segments);
        }
        found
    }
}

/// The innermost service, else the innermost scope.
fn unit(segments: &[&str]) -> Option<String> {
    let innermost = |kind: &str| segments.iter().rposition(|segment| is_unit(segment, kind));
    let at = innermost("service").or_else(|| innermost("scope"))?;
    let unit = segments[at];
    if unit.starts_with("session-") && is_unit(unit, "scope") {
        let slice = segments[..at].last().filter(|slice| is_unit(slice, "slice"));
        return slice.map(|slice| (*slice).to_owned());
    }
    Some(unit.to_owned())
}

fn is_unit(segment: &str, kind: &str) -> bool {
    segment
        .rsplit_once('.')
        .is_some_and(|(name, suffix)| !name.is_empty() && suffix == kind)
}
