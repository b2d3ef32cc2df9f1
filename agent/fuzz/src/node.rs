//! A node's file systems for the target `runtime_bundles`.
//!
//! An input has parts, separated by [`SEPARATOR`]. The first byte of each says which file it is, the rest is the file's
//! content; of [`LINKS`] and [`PODS`] it is the names in the directory, one a line.

use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::scratch;

/// Between two parts; no text has it.
pub const SEPARATOR: u8 = 0xff;

/// The container that is looked for.
pub const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";

/// Its pod.
pub const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";

/// Directories of which the names alone are read.
pub const LINKS: u8 = b'l';
/// See [`LINKS`].
pub const PODS: u8 = b'p';

/// The files by their letters; `ID` stands for the container's.
pub const FILES: &[(u8, &str)] = &[
    (
        b'a',
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
    ),
    (
        b'b',
        "/run/containers/storage/overlay-containers/ID/userdata/config.json",
    ),
    (b'c', "/var/lib/containers/storage/overlay-containers/containers.json"),
    (
        b'd',
        "/var/lib/containers/storage/overlay-containers/volatile-containers.json",
    ),
    (b'e', "/var/lib/docker/containers/ID/config.v2.json"),
    (b'f', "/var/lib/docker/100000.100000/containers/ID/config.v2.json"),
    (b'g', "/var/lib/isulad/engines/lcr/ID/config.v2.json"),
    (b'h', "/srv/data/containers/ID/config.v2.json"),
    (b'i', "/home/edge/data/overlay-containers/containers.json"),
    (b'A', "/etc/docker/daemon.json"),
    (b'B', "/etc/isulad/daemon.json"),
    (b'C', "/etc/containers/storage.conf"),
    (b'D', "/etc/crio/crio.conf.d/10.conf"),
    (b'E', "/etc/containerd/config.toml"),
    (b'F', "/home/edge/.config/containers/storage.conf"),
    (b'G', "/home/edge/.config/docker/daemon.json"),
    (b'H', "/etc/passwd"),
    // An engine that runs.
    (b'I', "/proc/7/comm"),
    (b'J', "/proc/7/cmdline"),
    (b'K', "/proc/7/environ"),
    (b'L', "/proc/7/cgroup"),
    (b'M', "/proc/1/mountinfo"),
    (b'N', "/proc/1/cgroup"),
];

/// The node of an input.
pub fn node(input: &[u8]) -> io::Result<TempDir> {
    let node = tempfile::Builder::new().tempdir_in(scratch())?;
    for part in input.split(|byte| *byte == SEPARATOR) {
        let Some((letter, content)) = part.split_first() else {
            continue;
        };
        match *letter {
            LINKS => names(node.path(), "var/log/containers", content)?,
            PODS => names(node.path(), "var/log/pods", content)?,
            letter => {
                if let Some((_, path)) = FILES.iter().find(|(file, _)| *file == letter) {
                    write(
                        &node.path().join(path.replace("ID", ID).trim_start_matches('/')),
                        content,
                    )?;
                }
            }
        }
    }
    Ok(node)
}

/// The part of an input for this file.
pub fn part(letter: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    [&[letter], content.as_ref(), &[SEPARATOR]].concat()
}

fn names(root: &Path, directory: &str, names: &[u8]) -> io::Result<()> {
    let names = String::from_utf8_lossy(names).into_owned();
    let is_name =
        |name: &&str| !name.is_empty() && name.len() < 256 && !name.contains(['/', '\0']) && !name.starts_with('.');
    for name in names.lines().filter(is_name).take(16) {
        write(&root.join(directory).join(name), &[])?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, content)
}
