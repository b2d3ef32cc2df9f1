//! Monitor files and their writers, as `agent doctor` finds them.

use std::collections::BTreeSet;
use std::time::Duration;

use accelscope_core::host::process::Processes;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::Timestamp;
use accelscope_core::sampler::Finding;

use crate::decode::decode;
use crate::directory::{Directory, DirectoryId, MAX_FILES};
use crate::file_name::claimed_pid;
use crate::settings::{NAME, Settings};

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
            let remedy = format!(
                "remove what killed applications left behind: find {} -type f -mmin +5 -delete",
                self.settings.dir.display()
            );
            found.push(Finding::warn(NAME, what).with_remedy(remedy));
        }
        for name in names {
            let Ok((bytes, stamp)) = directory.read(&name) else {
                continue;
            };
            let Some(pid) = decode(&bytes)
                .ok()
                .and_then(|message| claimed_pid(&message.pid, &name.to_string_lossy()))
            else {
                continue;
            };
            let hint = WriterHint {
                pid,
                directory: directory.id,
                seen_as: self.settings.seen_as(),
                written: stamp.modified,
            };
            let is_fresh = Timestamp::now().since(stamp.modified) <= max_age;
            match writer::find(processes, &hint) {
                Ok(Writer::None) if is_fresh => {
                    self.stale += 1;
                    let what = format!(
                        "{} was written just now, by a process that is not there",
                        name.display()
                    );
                    found.push(Finding::warn(NAME, what).with_remedy(UNSEEN));
                }
                Ok(Writer::None) => self.stale += 1,
                Ok(Writer::Several(many)) if is_fresh => {
                    self.fresh.push(pid);
                    let what = format!(
                        "{}: {many} processes may be its writer; shown without one",
                        name.display()
                    );
                    let remedy = "give each container a /tmp of its own: do not share /tmp/hmon_files between them";
                    found.push(Finding::warn(NAME, what).with_remedy(remedy));
                }
                Err(error) if is_fresh => {
                    self.fresh.push(pid);
                    let what = format!("{}: its writer cannot be determined: {error}", name.display());
                    let remedy = "run the agent as root, with CAP_SYS_PTRACE and the host's PID namespace";
                    found.push(Finding::warn(NAME, what).with_remedy(remedy));
                }
                _ if is_fresh => self.fresh.push(pid),
                _ => self.stale += 1,
            }
        }
        true
    }
}
