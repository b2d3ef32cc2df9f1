//! The state files of Docker, Podman and iSulad.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files::{Files, text};
use crate::attribution::container::Container;

/// Most directories of one kind below an engine's.
const MAX_DIRECTORIES: usize = 64;

/// The lists of containers/storage; those of `podman run --rm` stand in one of their own, which is below `/run` with
/// `transient_store`.
const LISTS: &[&str] = &["containers.json", "volatile-containers.json"];

/// Docker's `config.v2.json` (Moby's `container/container.go`), which is in a directory of its own for each range of users with `userns-remap`.
pub(super) fn docker(files: &Files, data: &Path, id: &str) -> Option<Container> {
    let read = |data: &Path| {
        let path = data.join("containers").join(id).join("config.v2.json");
        files.json(&path, &["Name", "Config"])
    };
    let config = read(data).or_else(|| {
        let names = files.names(data, MAX_DIRECTORIES);
        names
            .iter()
            .filter(|name| is_range(name))
            .find_map(|name| read(&data.join(name)))
    })?;
    Some(of(text(config.get("Name"), &[]), None, config.get("Config")))
}

/// `<uid>.<gid>`.
fn is_range(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('.')
        .is_some_and(|(user, group)| is_number(user) && is_number(group))
}

/// iSulad's `config.v2.json`, below the name of the runtime.
pub(super) fn isulad(files: &Files, data: &Path, id: &str) -> Option<Container> {
    let engines = data.join("engines");
    let names = files.names(&engines, MAX_DIRECTORIES);
    let config = names.iter().find_map(|name| {
        let path = engines.join(name).join(id).join("config.v2.json");
        files.json(&path, &["CommonConfig"])
    })?;
    let common = config.get("CommonConfig");
    // It writes "none" of a container that was made from a root file system.
    let image = text(common, &["Image"]).filter(|image| image != "none");
    let inner = common.and_then(|common| common.get("Config"));
    Some(of(text(common, &["Name"]), image, inner))
}

/// With the labels, among which are Kubernetes' own, which cri-dockerd and iSulad set.
fn of(name: Option<String>, image: Option<String>, inner: Option<&Value>) -> Container {
    Container {
        name: name.map(|name| name.trim_start_matches('/').to_owned()),
        image: image.or_else(|| text(inner, &["Image"])),
        ..Container::labelled(inner.and_then(|inner| inner.get("Labels")))
    }
}

/// The directories in which containers/storage has its containers, one for each storage driver: `overlay-containers`,
/// `vfs-containers` and the like.
pub(super) fn drivers(files: &Files, data: &Path) -> Vec<PathBuf> {
    let names = files.names(data, MAX_DIRECTORIES);
    let drivers = names.iter().filter(|name| name.ends_with("-containers"));
    drivers.map(|name| data.join(name)).collect()
}

/// The entry in the lists of containers/storage (its `containers.go`), which hold Podman's names.
pub(super) fn listed(files: &Files, drivers: &Path, id: &str) -> Option<Container> {
    LISTS.iter().find_map(|list| {
        let is_wanted = |stored: &Value| stored.get("id").and_then(Value::as_str) == Some(id);
        let stored = files.listed(&drivers.join(list), is_wanted)?;
        // JSON in a string, by the engine that made the container.
        let metadata = text(Some(&stored), &["metadata"]);
        let metadata = metadata.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let names = stored.get("names").and_then(Value::as_array);
        let name = names.and_then(|names| names.iter().find_map(|name| text(Some(name), &[])));
        Some(Container {
            name,
            image: text(metadata.as_ref(), &["image-name"]),
            ..Container::default()
        })
    })
}
