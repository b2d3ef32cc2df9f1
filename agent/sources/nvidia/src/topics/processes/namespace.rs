//! Whether NVML's process ids are the node's.

use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::host::bounded::read_bounded;

const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Inode of the first PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const FIRST: &str = "pid:[4026531836]";

/// Remedy for [`Namespace::loss`].
pub(crate) const REMEDY: &str =
    "set hostPID: true in the pod (docker run --pid=host), or run the agent on the host itself";

/// PID namespace of this process. NVML returns ids of the caller's namespace and omits processes outside of it
/// (`pid_vnr` in open-gpu-kernel-modules 595; drivers before 5xx always returned the host's ids).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// The node's: ids are valid.
    Node,
    /// A container's, with a `/proc` of the same namespace: only processes of the container are known.
    Own,
    /// A container's, with the node's `/proc`: ids cannot be compared.
    Foreign,
}

impl Namespace {
    /// Determines the namespace of this process.
    pub(crate) fn detect(roots: &HostRoots) -> Self {
        let proc = roots.proc();
        let read = |name: &str| {
            let text = read_bounded(&proc.join(name), MAX_TEXT_BYTES).ok()?;
            Some(String::from_utf8_lossy(&text).into_owned())
        };
        // In another namespace's /proc, a process has one id for each namespace from that one to its own.
        let ids = read("self/status").and_then(|status| {
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            Some(ids.split_whitespace().count())
        });
        let namespace = std::fs::read_link(proc.join("self/ns/pid")).ok();
        let is_first = namespace.is_some_and(|link| link.as_os_str() == FIRST);
        Self::judge(
            ids,
            is_first,
            read("self/cgroup").as_deref(),
            read("1/cgroup").as_deref(),
        )
    }

    /// Values that are missing because of it.
    pub(crate) const fn loss(self) -> Option<&'static str> {
        match self {
            Self::Node => None,
            Self::Own => Some("the agent has a PID namespace of its own: NVML hides the processes of others from it"),
            Self::Foreign => Some(
                "the agent has a PID namespace of its own and reads the /proc of another: no process that uses a GPU can \
                 be known",
            ),
        }
    }

    fn judge(ids: Option<usize>, is_first: bool, own: Option<&str>, init: Option<&str>) -> Self {
        match ids {
            // `self` resolves to nothing in the /proc of a namespace that does not contain this process.
            None => Self::Foreign,
            Some(ids) if ids > 1 => Self::Foreign,
            Some(_) if is_first => Self::Node,
            // The /proc of a node that is itself a container (kind), or of a container: in the latter, the first
            // process is in the same container or pod as this one.
            Some(_) => match (own, init) {
                (Some(own), Some(init)) if !is_together(own, init) => Self::Node,
                _ => Self::Own,
            },
        }
    }
}

fn is_together(own: &str, init: &str) -> bool {
    let (one, other) = (Cgroup::parse(own), Cgroup::parse(init));
    own == init || (one.pod_uid.is_some() && one.pod_uid == other.pod_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "0::/kubepods/besteffort/pod1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9/";

    #[test]
    fn host_pid_is_told_from_its_lack() {
        let container = |byte: &str| format!("{POD}{}\n", byte.repeat(64));
        let judge = |ids, first, own: &str, init: &str| Namespace::judge(ids, first, Some(own), Some(init));
        assert_eq!(judge(Some(1), true, "0::/a\n", "0::/init.scope\n"), Namespace::Node);
        // A pod with hostPID in a node that is a container itself.
        assert_eq!(
            judge(Some(1), false, &container("a"), "0::/init.scope\n"),
            Namespace::Node
        );
        // Without: its first process is the agent, or with a shared namespace the pod's pause container.
        assert_eq!(judge(Some(1), false, "0::/\n", "0::/\n"), Namespace::Own);
        assert_eq!(judge(Some(1), false, &container("a"), &container("b")), Namespace::Own);
        // The node's /proc is mounted, but the pod has a namespace of its own.
        assert_eq!(judge(Some(2), false, "0::/\n", "0::/init.scope\n"), Namespace::Foreign);
        assert_eq!(Namespace::judge(None, false, None, None), Namespace::Foreign);
    }
}
