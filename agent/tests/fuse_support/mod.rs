//! A FUSE file system with one file, served by a thread of the test (`include/uapi/linux/fuse.h`, protocol 7.31). Needs root.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Node of the directory, and of the file.
const DIRECTORY: u64 = 1;
const FILE: u64 = 2;

/// Opcodes.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;

/// What the program says of its file.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: u32,
}

/// Mounted at a directory until it is dropped.
pub(crate) struct Fuse(PathBuf);

impl Fuse {
    /// As if `user` had mounted it. `None` where that is not possible.
    pub(crate) fn mount(at: &Path, user: u32, served: Served) -> Option<Self> {
        let channel = File::options().read(true).write(true).open("/dev/fuse");
        let Ok(channel) = channel else {
            skip_test::skip("fuse", "needs root and /dev/fuse");
            return None;
        };
        let options = format!("fd=0,rootmode=40000,user_id={user},group_id=0,allow_other");
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse.accelscope-test", "-o", &options, "test"])
            .arg(at)
            .stdin(Stdio::from(channel.try_clone().unwrap()))
            .output()
            .unwrap();
        if !mounted.status.success() {
            skip_test::skip("fuse", &String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        std::thread::spawn(move || serve(channel, &served, written));
        Some(Self(at.to_owned()))
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// Ends when the file system is unmounted.
fn serve(mut channel: File, served: &Served, written: Duration) {
    let mut request = vec![0; 1 << 17];
    while let Ok(length) = channel.read(&mut request) {
        let request = &request[..length];
        let (opcode, unique, node) = (word(request, 4), long(request, 8), long(request, 16));
        if matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT) {
            continue;
        }
        let (error, body) = match answer(served, written, opcode, node, &request[40..]) {
            Ok(body) => (0, body),
            Err(error) => (error, Vec::new()),
        };
        let mut reply = (16 + body.len() as u32).to_ne_bytes().to_vec();
        reply.extend((-error).to_ne_bytes());
        reply.extend(unique.to_ne_bytes());
        reply.extend(body);
        // Fails for a request that was given up.
        channel.write_all(&reply).ok();
    }
}

fn answer(served: &Served, written: Duration, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
    match opcode {
        INIT => {
            let mut reply = Vec::new();
            for value in [7_u32, 31, 0, 0, 0, 1 << 16, 1] {
                reply.extend(value.to_ne_bytes());
            }
            reply.resize(64, 0);
            Ok(reply)
        }
        LOOKUP if body.strip_suffix(&[0]) == Some(served.name.as_bytes()) => {
            let mut reply = FILE.to_ne_bytes().to_vec();
            reply.resize(40, 0);
            reply.extend(attributes(served, written, FILE));
            Ok(reply)
        }
        LOOKUP => Err(ENOENT),
        GETATTR => {
            let mut reply = vec![0; 16];
            reply.extend(attributes(served, written, node));
            Ok(reply)
        }
        OPEN | OPENDIR => Ok(vec![0; 16]),
        READ => {
            let (offset, size) = (long(body, 8) as usize, word(body, 16) as usize);
            let rest = served.content.get(offset..).unwrap_or_default();
            Ok(rest[..size.min(rest.len())].to_vec())
        }
        READDIR if long(body, 8) > 0 => Ok(Vec::new()),
        READDIR => {
            let mut entry = FILE.to_ne_bytes().to_vec();
            entry.extend(1_u64.to_ne_bytes());
            entry.extend((served.name.len() as u32).to_ne_bytes());
            entry.extend(8_u32.to_ne_bytes());
            entry.extend(served.name.as_bytes());
            entry.resize(entry.len().next_multiple_of(8), 0);
            Ok(entry)
        }
        STATFS => Ok(vec![0; 80]),
        RELEASE | RELEASEDIR | FLUSH => Ok(Vec::new()),
        _ => Err(ENOSYS),
    }
}

/// `struct fuse_attr`.
fn attributes(served: &Served, written: Duration, node: u64) -> Vec<u8> {
    let (seconds, nanos) = (written.as_secs(), written.subsec_nanos());
    let (size, mode, owner) = if node == DIRECTORY {
        (0, 0o40755, 0)
    } else {
        (served.content.len() as u64, 0o100_000 | served.mode, served.owner)
    };
    let mut found = Vec::new();
    for value in [node, size, 1, seconds, seconds, seconds] {
        found.extend(value.to_ne_bytes());
    }
    for value in [nanos, nanos, nanos, mode, 1, owner, 0, 0, 4096, 0] {
        found.extend(value.to_ne_bytes());
    }
    found
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
