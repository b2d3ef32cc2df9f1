//! The state files of Docker and Podman.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::container::Container;
use super::json;
use accelscope_core::host::HostRoots;

/// Docker's data: its own package's and the snap's.
pub(super) const DOCKER: &[&str] = &["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];

/// The lists of containers/storage; those of `podman run --rm` stand in one of their own, which is under `/run` with
/// `transient_store`.
const LISTS: &[&str] = &[
    "/var/lib/containers/storage/overlay-containers/containers.json",
    "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
    "/run/containers/storage/overlay-containers/containers.json",
    "/run/containers/storage/overlay-containers/volatile-containers.json",
];

/// Moby's `container/container.go`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerConfig {
    name: Option<String>,
    config: Option<DockerInner>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerInner {
    image: Option<String>,
    /// With Kubernetes' own, which cri-dockerd sets.
    labels: Option<HashMap<String, String>>,
}

/// containers/storage's `containers.go`.
#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// JSON in a string, by the engine that made the container.
    metadata: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image: Option<String>,
}

/// Docker's `config.v2.json`.
pub(super) fn docker(roots: &HostRoots, id: &str) -> Option<Container> {
    let path = |data: &&str| Path::new(data).join("containers").join(id).join("config.v2.json");
    let config: DockerConfig = DOCKER.iter().find_map(|data| json::read(roots, &path(data)))?;
    let (image, labels) = config.config.map_or((None, None), |inner| (inner.image, inner.labels));
    Some(Container {
        name: config.name.map(|name| name.trim_start_matches('/').to_owned()),
        image,
        ..Container::labelled(&labels.unwrap_or_default())
    })
}

/// The entry in the lists of containers/storage, which hold Podman's names. Those of users without root are in their
/// homes and are not looked for.
pub(super) fn storage(roots: &HostRoots, id: &str) -> Option<Container> {
    LISTS.iter().find_map(|list| {
        let stored: Vec<Stored> = json::read(roots, Path::new(list))?;
        let stored = stored.into_iter().find(|stored| stored.id == id)?;
        let metadata = stored
            .metadata
            .and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
        Some(Container {
            name: stored.names.into_iter().next(),
            image: metadata.and_then(|metadata| metadata.image),
            ..Container::default()
        })
    })
}
