//! Container runtimes that a cgroup path shows.

/// Runtime of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// containerd, through Kubernetes, nerdctl or ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// LXC and Incus.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}
