//! Shares of users: as root, since they need files of several.
#![allow(clippy::print_stderr, reason = "a skipped test is reported")]

use std::os::unix::fs::chown;
use std::path::Path;

use prost::Message;

use super::*;
use accelscope_core::host::HostRoots;
use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};

const OTHER: u32 = 12_345;
const OURS: u32 = 0;

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: {test} needs root");
    }
    is_root
}

fn put(dir: &Path, name: &str, user: u32, networks: usize) {
    let network = |nth| ProtoMonInfo {
        network_name: format!("n{nth}"),
        ..ProtoMonInfo::default()
    };
    let message = ProtoMon {
        pid: "7".into(),
        networks_infos: (0..networks).map(network).collect(),
        ..ProtoMon::default()
    };
    std::fs::write(dir.join(name), message.encode_to_vec()).unwrap();
    chown(dir.join(name), Some(user), None).unwrap();
}

fn read(files: &mut Files, dir: &Path, name: &str) {
    let directory = Directory::configured(&HostRoots::new("/"), dir).unwrap();
    files.refresh(&directory, OsStr::new(name), Moment::now(), &mut Skipped::default());
}

fn elements(files: &Files, name: &str) -> usize {
    files.by_name.get(OsStr::new(name)).map_or(0, File::elements)
}

#[test]
fn a_user_with_many_elements_does_not_push_out_those_of_another() {
    if !is_root("a_user_with_many_elements_does_not_push_out_those_of_another") {
        return;
    }
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let dir = tempfile::tempdir().unwrap();
        let all = [
            ("8aaaaaa", OTHER, 4000),
            ("9aaaaaa", OTHER, 4000),
            ("7aaaaaa", OURS, 1500),
        ];
        for (name, user, networks) in all {
            put(dir.path(), name, user, networks);
        }
        let mut files = Files::default();
        for _ in 0..2 {
            for nth in order {
                read(&mut files, dir.path(), all[nth].0);
                std::fs::File::options()
                    .append(true)
                    .open(dir.path().join(all[nth].0))
                    .unwrap()
                    .set_modified(std::time::SystemTime::now())
                    .unwrap();
            }
        }
        assert_eq!(elements(&files, "7aaaaaa"), 1500, "{order:?}");
        let sum: usize = all.iter().map(|(name, ..)| elements(&files, name)).sum();
        assert!(sum <= MAX_ELEMENTS, "{sum}");
    }
}

#[test]
fn a_user_with_many_young_files_does_not_push_out_that_of_another() {
    if !is_root("a_user_with_many_young_files_does_not_push_out_that_of_another") {
        return;
    }
    for ours_is_first in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::default();
        let names: Vec<_> = (0..MAX_FILES + 50).map(|nth| format!("{}aaaaaa", 1000 + nth)).collect();
        put(dir.path(), "7aaaaaa", OURS, 3);
        if ours_is_first {
            read(&mut files, dir.path(), "7aaaaaa");
        }
        for name in &names {
            put(dir.path(), name, OTHER, 1);
            read(&mut files, dir.path(), name);
        }
        read(&mut files, dir.path(), "7aaaaaa");
        assert_eq!(elements(&files, "7aaaaaa"), 3);
        assert_eq!(files.by_name.len(), MAX_FILES);
    }
}
