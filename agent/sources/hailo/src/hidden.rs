//! Living processes that may write what cannot be read, or that cannot be seen: of them it is not known which device they use.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::directory::Stamp;
use super::living::Living;
use super::monitored::Monitored;
use super::state::{self, LONGEST_MAX_AGE};
use accelscope_core::metric::{Moment, ProcessKey};

/// Time before another search for the process of a file that had none.
const AGAIN: Duration = Duration::from_secs(5);

/// The writers of the files that cannot be used.
#[derive(Debug, Default)]
pub(super) struct Hidden(BTreeMap<OsString, Known>);

/// The result of the last search.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    again: Instant,
    /// A living process of the file's owner with the id in its name, and the age from which it does not write any more.
    writer: Option<(ProcessKey, Duration)>,
}

impl Monitored {
    /// Whether a living process may write here what cannot be read.
    pub(super) fn may_hide_a_writer(&mut self, max_age: Option<Duration>, now: Moment, living: &mut Living) -> bool {
        let mut fresh = self.files.fresh(max_age, now.instant);
        if self.state.is_unlisted || fresh.any(|(_, file)| file.owner.is_unseen) {
            return true;
        }
        let mut hidden = std::mem::take(&mut self.hidden);
        hidden.0.retain(|name, _| self.files.has(name));
        let is_any = self
            .unusable(max_age, now.instant)
            .into_iter()
            .any(|(name, pid, stamp)| hidden.has_writer(name, pid, stamp, max_age, now, living));
        self.hidden = hidden;
        is_any
    }
}

impl Hidden {
    fn has_writer(
        &mut self,
        name: &OsStr,
        pid: u32,
        stamp: Stamp,
        max_age: Option<Duration>,
        now: Moment,
        living: &mut Living,
    ) -> bool {
        let age = now.wall.since(stamp.modified);
        if age > max_age.unwrap_or(LONGEST_MAX_AGE) && stamp != Stamp::UNKNOWN {
            return false;
        }
        let known = self.0.get(name).filter(|known| match known.writer {
            Some((process, _)) => living.is_alive(process),
            None => known.stamp == stamp || now.instant < known.again,
        });
        let writer = if let Some(known) = known {
            known.writer
        } else {
            let Ok(writer) = search(pid, stamp, living) else {
                return true;
            };
            let again = now.instant + AGAIN;
            self.0.insert(name.to_owned(), Known { stamp, again, writer });
            writer
        };
        writer.is_some_and(|(_, default)| age <= max_age.unwrap_or(default) || stamp == Stamp::UNKNOWN)
    }
}

fn search(pid: u32, stamp: Stamp, living: &mut Living) -> std::io::Result<Option<(ProcessKey, Duration)>> {
    let found = if stamp == Stamp::UNKNOWN {
        let first = living.with_id(pid)?.first().copied();
        if first.is_none() && !living.is_current() {
            return Err(std::io::ErrorKind::WouldBlock.into());
        }
        first
    } else {
        living.of_user(pid, stamp.user)?
    };
    let found = found.and_then(|pid| Some((pid, living.processes.key(pid).ok()?)));
    Ok(found.map(|(pid, process)| {
        let environment = living.environment_of_user(pid);
        let max_age = environment.map_or(LONGEST_MAX_AGE, |environment| state::max_age(environment.interval()));
        (process, max_age)
    }))
}
