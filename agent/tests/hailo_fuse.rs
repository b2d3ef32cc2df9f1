//! The program and monitor files on FUSE, whose programs name any owner. As root, with real processes of two users.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod fuse_support;
mod hailo_host;
mod program_support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use fuse_support::{Fuse, Served};
use hailo_host::{Host, OTHER, Writer, is_root, message, named, put};
use prost::Message;

/// Who is said to have written the frame rates that are shown; `None` for each that has no process.
fn executables(host: &Host) -> Vec<Option<String>> {
    let points = host.look();
    let rates = named(&points, "hailo.network.frame_rate");
    rates
        .into_iter()
        .map(|point| {
            let name = &point["attributes"]["process.executable.name"];
            name.as_str().map(str::to_owned)
        })
        .collect()
}

fn doctor(host: &Host) -> String {
    let output = host.output(&["doctor"]).stdout;
    let text = String::from_utf8_lossy(&output).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn served(writer: &Writer, owner: u32) -> Served {
    Served {
        name: writer.name(),
        content: message(writer.pid(), 57.0).encode_to_vec(),
        mode: 0o644,
        owner,
    }
}

#[test]
fn files_of_a_fuse_file_system_are_of_who_has_mounted_it() {
    if !is_root("files_of_a_fuse_file_system_are_of_who_has_mounted_it") {
        return;
    }
    // Who has mounted it, whom its program names as the owner, and whether the process of OTHER counts.
    for (user, owner, is_believed) in [
        (0, OTHER, true),
        (0, OTHER + 1, false),
        (OTHER, OTHER, true),
        (OTHER, 0, true),
        (OTHER + 1, OTHER, false),
    ] {
        let (host, writer) = (Host::new().lasting().with_device(), Writer::of_user(OTHER, None));
        let Some(_fuse) = Fuse::with(&host.dir(), user, served(&writer, owner)) else {
            return;
        };
        let expected = is_believed.then(|| "sleep".to_owned());
        assert_eq!(executables(&host), [expected], "mounted by {user}, of {owner}");
        if user > OTHER {
            let why = format!("its directory is a FUSE file system of user {user}, which that process does not run as");
            let said = doctor(&host);
            assert!(said.contains(&why), "{said}");
        }
    }
}

#[test]
fn a_file_that_is_mounted_over_a_monitor_file_is_none() {
    if !is_root("a_file_that_is_mounted_over_a_monitor_file_is_none") {
        return;
    }
    let (host, writer) = (Host::new().lasting().with_device(), Writer::of_user(OTHER, None));
    let aside = tempfile::tempdir().unwrap();
    let Some(_fuse) = Fuse::with(aside.path(), OTHER + 1, served(&writer, OTHER)) else {
        return;
    };
    let own = host.dir().join(writer.name());
    put(&own, b"", Duration::ZERO);
    let mounted = Command::new("mount")
        .arg("--bind")
        .args([&aside.path().join(writer.name()), &own])
        .status()
        .unwrap();
    assert!(mounted.success());
    let (shown, said) = (executables(&host), doctor(&host));
    Command::new("umount").arg("-l").arg(&own).status().unwrap();
    assert!(shown.is_empty(), "{shown:?}");
    assert!(said.contains("is mounted from another file system"), "{said}");
    fs::remove_file(&own).unwrap();
}
