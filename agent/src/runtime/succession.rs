//! Whether another agent on this node has the same series, and so takes them over when this one stops.
//!
//! Agents have no directory that all of them may write to, but all read the host's root directory. Each holds a shared lock
//! on it, one byte for each of its destinations, which the kernel removes however the agent ends. The byte stands for what
//! distinguishes the agent's series at that destination.

use std::fs::File;
use std::io;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Resource;
use accelscope_export::otlp::Destination;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_WRLCK, SEEK_SET, flock};
use uuid::{Uuid, uuid};

const NAMESPACE: Uuid = uuid!("5d5c1f1e-6f2b-5c7a-9a53-2c5f0a9b7d10");

/// The locks of this agent.
pub(super) struct Succession {
    root: File,
    /// Name and byte of each destination.
    destinations: Vec<(String, i64)>,
}

impl Succession {
    /// Announces the agent. Without the locks, which some file systems lack, it is as if it were alone.
    pub(super) fn announce(roots: &HostRoots, resource: &Resource, destinations: &[Destination]) -> io::Result<Self> {
        let root = File::open(roots.path("/"))?;
        let destinations = destinations.iter();
        let succession = Self {
            destinations: destinations
                .map(|destination| (destination.name.clone(), byte(resource, destination)))
                .collect(),
            root,
        };
        for (_, at) in &succession.destinations {
            fcntl(&succession.root, FcntlArg::F_OFD_SETLK(&lock(F_RDLCK, *at)))?;
        }
        Ok(succession)
    }

    /// Whether another agent pushes the series of this one to that destination.
    pub(super) fn has_other(&self, destination: &str) -> bool {
        let own = self.destinations.iter().find(|(name, _)| name == destination);
        own.is_some_and(|(_, at)| {
            let mut other = lock(F_WRLCK, *at);
            let asked = fcntl(&self.root, FcntlArg::F_OFD_GETLK(&mut other));
            asked.is_ok() && i32::from(other.l_type) == F_RDLCK
        })
    }
}

/// Agents of other versions have the same series.
fn byte(resource: &Resource, destination: &Destination) -> i64 {
    let attributes = resource.iter().filter(|(key, _)| *key != "service.version");
    let mut name = destination.endpoint.to_string();
    for (key, value) in attributes {
        name.push_str(&format!("\0{key}={value}"));
    }
    let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
    // Positive, so that the byte after it is a valid offset.
    (id.as_u64_pair().0 >> 2).cast_signed()
}

fn lock(kind: i32, at: i64) -> flock {
    flock {
        l_type: kind as i16,
        l_whence: SEEK_SET as i16,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    }
}
