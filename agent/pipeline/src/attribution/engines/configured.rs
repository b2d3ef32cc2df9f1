//! Directories of engines by their own configuration files.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files;
use accelscope_core::host::HostRoots;

/// Defaults: containerd's state (its own, k3s and RKE2, k0s, `MicroK8s`), containers/storage (CRI-O, Podman), Docker (its own
/// package's, the snap's, balenaEngine's) and iSulad.
pub(super) const DEFAULTS: &[&str] = &[
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
    "/run/containers/storage",
    "/var/lib/containers/storage",
    "/var/lib/docker",
    "/var/snap/docker/common/var-lib-docker",
    "/var/lib/balena-engine",
    "/var/lib/isulad",
];

/// Configuration of Docker (the package's, the snap's, Synology's, balenaEngine's) and of iSulad.
const JSON: &[&str] = &[
    "/etc/docker/daemon.json",
    "/var/snap/docker/current/config/daemon.json",
    "/var/packages/ContainerManager/etc/dockerd.json",
    "/var/packages/Docker/etc/dockerd.json",
    "/etc/balena-engine/daemon.json",
    "/etc/isulad/daemon.json",
];

/// Configuration of containers/storage, CRI-O and containerd, and directories of further files.
const TOML: &[&str] = &[
    "/usr/share/containers/storage.conf",
    "/etc/containers/storage.conf",
    "/etc/crio/crio.conf",
    "/etc/containerd/config.toml",
    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    "/etc/k0s/containerd.toml",
];
const TOML_DIRECTORIES: &[&str] = &[
    "/usr/share/containers/storage.conf.d",
    "/etc/containers/storage.conf.d",
    "/etc/crio/crio.conf.d",
    "/etc/containerd/conf.d",
];

/// Most files that are read of one such directory.
const MAX_FILES: usize = 64;

#[derive(Deserialize)]
struct Daemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
    /// Docker until 17.05; iSulad.
    graph: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
struct Settings {
    storage: Option<toml::Value>,
    crio: Option<toml::Value>,
    /// containerd.
    state: Option<PathBuf>,
}

/// What a file names: directories, and the pattern for those of users.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) directories: Vec<PathBuf>,
    /// `rootless_storage_path`, with `$HOME`, `$UID` and `$USER`.
    pub(super) of_users: Vec<String>,
}

/// What the system's configuration files name.
pub(super) fn system(roots: &HostRoots) -> Named {
    let mut named = Named::default();
    for path in JSON {
        named.directories.extend(daemon(roots, Path::new(path)));
    }
    let listed = TOML_DIRECTORIES.iter().flat_map(|directory| {
        let names = roots.names(directory, MAX_FILES).unwrap_or_default();
        names.into_iter().map(|name| Path::new(directory).join(name))
    });
    for path in TOML.iter().map(PathBuf::from).chain(listed) {
        named.add(settings(roots, &path));
    }
    named
}

/// The directory that a `daemon.json` names.
pub(super) fn daemon(roots: &HostRoots, path: &Path) -> Option<PathBuf> {
    let daemon: Daemon = files::json(roots, path)?;
    daemon.data_root.or(daemon.graph).filter(|path| path.is_absolute())
}

/// What a file of containers/storage, CRI-O or containerd names.
pub(super) fn settings(roots: &HostRoots, path: &Path) -> Named {
    let settings: Settings = files::toml(roots, path).unwrap_or_default();
    let text = |section: &Option<toml::Value>, key: &str| {
        let value = section.as_ref()?.get(key)?.as_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    let Settings { storage, crio, state } = &settings;
    // A user's file may have the same variables in all of its paths.
    let paths = [
        text(storage, "graphroot"),
        text(storage, "runroot"),
        text(crio, "root"),
        text(crio, "runroot"),
    ];
    let (of_users, plain): (Vec<_>, Vec<_>) = paths.into_iter().flatten().partition(|path| path.contains('$'));
    let mut named = Named {
        directories: plain.into_iter().map(PathBuf::from).chain(state.clone()).collect(),
        of_users,
    };
    named.of_users.extend(text(storage, "rootless_storage_path"));
    named.directories.retain(|path| path.is_absolute());
    named
}

impl Named {
    pub(super) fn add(&mut self, other: Self) {
        self.directories.extend(other.directories);
        self.of_users.extend(other.of_users);
    }
}
