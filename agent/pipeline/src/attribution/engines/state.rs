//! The state files of Docker, Podman and iSulad.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files;
use crate::attribution::container::Container;
use accelscope_core::host::HostRoots;

/// Most directories of one kind below an engine's.
const MAX_DIRECTORIES: usize = 64;

/// The lists of containers/storage; those of `podman run --rm` stand in one of their own, which is below `/run` with
/// `transient_store`.
const LISTS: &[&str] = &["containers.json", "volatile-containers.json"];

/// Moby's `container/container.go`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Docker {
    name: Option<String>,
    config: Option<Inner>,
}

/// iSulad's `container_config_v2`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Isulad {
    common_config: Common,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Common {
    name: Option<String>,
    image: Option<String>,
    config: Option<Inner>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    image: Option<String>,
    /// With Kubernetes' own, which cri-dockerd and iSulad set.
    labels: Option<HashMap<String, String>>,
}

/// containers/storage's `containers.go`.
#[derive(Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
    /// JSON in a string, by the engine that made the container.
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image: Option<String>,
}

/// Docker's `config.v2.json`, which is in a directory of its own for each range of users with `userns-remap`.
pub(super) fn docker(roots: &HostRoots, data: &Path, id: &str) -> Option<Container> {
    let read = |data: &Path| files::json::<Docker>(roots, &data.join("containers").join(id).join("config.v2.json"));
    let config = read(data).or_else(|| {
        let names = roots.names(data, MAX_DIRECTORIES).ok()?;
        names
            .iter()
            .filter(|name| is_range(name))
            .find_map(|name| read(&data.join(name)))
    })?;
    let inner = config.config.unwrap_or_default();
    Some(of(config.name, None, inner))
}

/// `<uid>.<gid>`.
fn is_range(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('.')
        .is_some_and(|(user, group)| is_number(user) && is_number(group))
}

/// iSulad's `config.v2.json`, below the name of the runtime.
pub(super) fn isulad(roots: &HostRoots, data: &Path, id: &str) -> Option<Container> {
    let engines = data.join("engines");
    let names = roots.names(&engines, MAX_DIRECTORIES).ok()?;
    let config: Isulad = names
        .iter()
        .find_map(|name| files::json(roots, &engines.join(name).join(id).join("config.v2.json")))?;
    let common = config.common_config;
    // It writes "none" of a container that was made from a root file system.
    let image = common.image.filter(|image| image != "none");
    Some(of(common.name, image, common.config.unwrap_or_default()))
}

fn of(name: Option<String>, image: Option<String>, inner: Inner) -> Container {
    Container {
        name: name.map(|name| name.trim_start_matches('/').to_owned()),
        image: image.or(inner.image),
        ..Container::labelled(&inner.labels.unwrap_or_default())
    }
}

/// The directories in which containers/storage has its containers, one for each storage driver: `overlay-containers`,
/// `vfs-containers` and the like.
pub(super) fn drivers(roots: &HostRoots, data: &Path) -> Vec<PathBuf> {
    let names = roots.names(data, MAX_DIRECTORIES).unwrap_or_default();
    let drivers = names.iter().filter(|name| name.ends_with("-containers"));
    drivers.map(|name| data.join(name)).collect()
}

/// The entry in the lists of containers/storage, which hold Podman's names.
pub(super) fn listed(roots: &HostRoots, drivers: &Path, id: &str) -> Option<Container> {
    LISTS.iter().find_map(|list| {
        let stored: Vec<Stored> = files::json(roots, &drivers.join(list))?;
        let stored = stored.into_iter().find(|stored| stored.id == id)?;
        let metadata = stored
            .metadata
            .and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
        Some(Container {
            name: stored.names.unwrap_or_default().into_iter().next(),
            image: metadata.and_then(|metadata| metadata.image),
            ..Container::default()
        })
    })
}
