//! Directories of engines by their own configuration files.

use std::path::{Path, PathBuf};

use super::files::{Files, text};

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

/// What a file names: directories, and the pattern for those of users.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) directories: Vec<PathBuf>,
    /// `rootless_storage_path`, with `$HOME`, `$UID` and `$USER`.
    pub(super) of_users: Vec<String>,
}

/// What the system's configuration files name.
pub(super) fn system(files: &Files) -> Named {
    let mut named = Named::default();
    for path in JSON {
        named.directories.extend(daemon(files, Path::new(path)));
    }
    let listed = TOML_DIRECTORIES.iter().flat_map(|directory| {
        let names = files.names(Path::new(directory), MAX_FILES);
        names.into_iter().map(|name| Path::new(directory).join(name))
    });
    for path in TOML.iter().map(PathBuf::from).chain(listed) {
        named.add(settings(files, &path));
    }
    named
}

/// The directory that a `daemon.json` names.
pub(super) fn daemon(files: &Files, path: &Path) -> Option<PathBuf> {
    // `graph`: Docker until 17.05; iSulad.
    let keys = ["data-root", "graph"];
    let daemon = files.json(path, &keys)?;
    let named = keys.iter().find_map(|key| text(daemon.get(*key), &[]));
    named.map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What a file of containers/storage, CRI-O or containerd names.
pub(super) fn settings(files: &Files, path: &Path) -> Named {
    let settings = files.toml(path).unwrap_or_default();
    let text = |section: &str, key: &str| {
        let value = settings.get(section)?.get(key)?.as_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    };
    // containerd's.
    let state = settings.get("state").and_then(toml::Value::as_str);
    // A user's file may have the same variables in all of its paths.
    let paths = [
        text("storage", "graphroot"),
        text("storage", "runroot"),
        text("crio", "root"),
        text("crio", "runroot"),
    ];
    let (of_users, plain): (Vec<_>, Vec<_>) = paths.into_iter().flatten().partition(|path| path.contains('$'));
    let mut named = Named {
        directories: plain
            .into_iter()
            .chain(state.map(str::to_owned))
            .map(PathBuf::from)
            .collect(),
        of_users,
    };
    named.of_users.extend(text("storage", "rootless_storage_path"));
    named.directories.retain(|path| path.is_absolute());
    named
}

impl Named {
    pub(super) fn add(&mut self, other: Self) {
        self.directories.extend(other.directories);
        self.of_users.extend(other.of_users);
    }
}
