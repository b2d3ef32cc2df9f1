//! Monitor files and their writers, as `agent doctor` finds them.

use std::collections::BTreeSet;
use std::time::Duration;

use accelscope_core::host::process::Processes;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::Timestamp;
use accelscope_core::sampler::Finding;

use super::warn;
use crate::decode::decode;
use crate::directory::{Directory, DirectoryId, MAX_FILES};
use crate::file_name::claimed_pid;
use crate::settings::Settings;

const UNSEEN: &str = "give the agent the host's PID namespace (hostPID: true), or it was written by a process that has \
    just ended";

/// Default age limit of a file.
const STALE: Duration = Duration::from_secs(10);

/// Counts of the monitor files of all directories.
pub(super) struct Files<'a> {
    settings: &'a Settings,
    directories: BTreeSet<DirectoryId>,
    /// Process ids of the fresh files, in the writers' PID namespaces.
    pub(super) fresh: Vec<u32>,
    pub(super) stale: usize,
}

impl<'a> Files<'a> {
    pub(super) const fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            directories: BTreeSet::new(),
            fresh: Vec::new(),
            stale: 0,
        }
    }

    /// Examines the files of a directory. Returns whether it is another one than those before.
    pub(super) fn add(&mut self, directory: &Directory, processes: &Processes, found: &mut Vec<Finding>) -> bool {
        if !self.directories.insert(directory.id) {
            return false;
        }
        let max_age = self.settings.max_age.unwrap_or(STALE);
        let (names, more) = directory.names().unwrap_or_default();
        if more > 0 {
            let what =
                format!("{more} or more monitor files are left out: only the {MAX_FILES} written last are looked at");
            let dir = self.settings.dir.display();
            let remedy = format!("remove what killed applications left behind: find {dir} -type f -mmin +5 -delete");
            found.push(warn(what, remedy));
        }
        for name in names {
            let Ok((bytes, stamp)) = directory.read(&name) else {
                continue;
            };
            let message = decode(&bytes).ok();
            let Some(pid) = message.and_then(|message| claimed_pid(&message.pid, &name.to_string_lossy())) else {
                continue;
            };
            if Timestamp::now().since(stamp.modified) > max_age {
                self.stale += 1;
                continue;
            }
            let hint = WriterHint {
                pid,
                directory: directory.id,
                seen_as: self.settings.seen_as(),
                written: stamp.modified,
            };
            let name = name.display();
            let writer = writer::find(processes, &hint);
            if let Ok(Writer::None) = writer {
                self.stale += 1;
                let what = format!("{name} was written just now, by a process that is not there");
                found.push(warn(what, UNSEEN));
                continue;
            }
            self.fresh.push(pid);
            if let Ok(Writer::Several(many)) = writer {
                let what = format!("{name}: {many} processes may be its writer; shown without one");
                let remedy = "give each container a /tmp of its own: do not share /tmp/hmon_files between them";
                found.push(warn(what, remedy));
            } else if let Err(error) = writer {
                let what = format!("{name}: its writer cannot be determined: {error}");
                let remedy = "run the agent as root, with CAP_SYS_PTRACE and the host's PID namespace";
                found.push(warn(what, remedy));
            }
        }
        true
    }
}
