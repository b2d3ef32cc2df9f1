//! Whether another agent on this node has the same series, and so takes them over when this one stops.
//!
//! Agents have no directory that all of them may write to, but all read the host's root directory. Each holds a shared lock
//! on it, one byte for each of its destinations, which the kernel removes however the agent ends. The byte stands for
//! everything that decides which series the agent has at that destination.

use std::fs::File;
use std::io;

use crate::cli::BUILD;
use crate::config::Config;
use accelscope_core::host::answering::ask;
use accelscope_core::metric::Resource;
use accelscope_export::otlp::Destination;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock};
use uuid::{Uuid, uuid};

const NAMESPACE: Uuid = uuid!("5d5c1f1e-6f2b-5c7a-9a53-2c5f0a9b7d10");

/// The locks of this agent.
pub(super) struct Succession {
    root: File,
    identity: String,
    /// Name and byte of each destination.
    destinations: Vec<(String, i64)>,
}

impl Succession {
    /// Announces the agent. Without the locks, which some file systems lack, it is as if it were alone.
    pub(super) fn announce(config: &Config, resource: &Resource, destinations: &[Destination]) -> io::Result<Self> {
        let root = ask(&config.host_roots().path("/"), |root| File::open(root))?;
        let identity = identity(config, resource);
        let mut succession = Self {
            root,
            identity,
            destinations: Vec::new(),
        };
        for destination in destinations {
            succession.add(destination)?;
        }
        Ok(succession)
    }

    fn add(&mut self, destination: &Destination) -> io::Result<()> {
        let at = byte(&self.identity, destination);
        fcntl(&self.root, FcntlArg::F_OFD_SETLK(&lock(F_RDLCK, at)))?;
        self.destinations.push((destination.name.clone(), at));
        Ok(())
    }

    /// Announces where the destinations that it has are by their new settings, and no longer where they were.
    pub(super) fn follow(&mut self, revised: &[Destination]) {
        let old = std::mem::take(&mut self.destinations);
        for (name, at) in &old {
            let Some(new) = revised.iter().find(|destination| destination.name == *name) else {
                self.destinations.push((name.clone(), *at));
                continue;
            };
            if let Err(error) = self.add(new) {
                tracing::debug!(%error, destination = name, "other agents with this destination are not seen");
            }
        }
        let is_left = |at: &i64| self.destinations.iter().all(|(_, other)| other != at);
        for (_, at) in old.iter().filter(|(_, at)| is_left(at)) {
            // What stays locked has another agent leave series to this one that it does not have.
            fcntl(&self.root, FcntlArg::F_OFD_SETLK(&lock(F_UNLCK, *at))).ok();
        }
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

/// What decides which series an agent has: its resource, its build, which may name them otherwise, and the settings by
/// which series exist and have their labels. An agent that differs in any of them may lack some series of this one, and
/// nothing would ever end those; the ones that both have only pause until the other's next push.
fn identity(config: &Config, resource: &Resource) -> String {
    let settings = (&config.sources, &config.attribution, &config.limits);
    let mut identity = format!("{BUILD:?}\0{settings:?}");
    for (key, value) in resource.iter() {
        identity.push_str(&format!("\0{key}={value}"));
    }
    identity
}

fn byte(identity: &str, destination: &Destination) -> i64 {
    let name = format!("{}\0{identity}", destination.endpoint);
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
