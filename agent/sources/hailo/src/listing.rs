//! The files of a directory that are looked at.
//!
//! Of more than [`MAX_FILES`] each user of the machine gets a share, so that none pushes another's files out: those of a
//! user's living processes first, then those that have the name of a monitor file, then others.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;

use super::directory::{Directory, MAX_FILES, Stamp, kind};
use super::file_name::{is_monitor_file, named_pid};
use super::living::Living;
use accelscope_core::metric::Timestamp;

/// Most entries that are listed: a user who can write to the directory could otherwise stall the sampler.
const MAX_ENTRIES: usize = 65_536;
/// Most files of dead processes and with other names whose owner and age are asked for.
const MAX_EXAMINED: usize = 16 * MAX_FILES;
/// Most entries that are no files and have the name of one.
const MAX_OTHERS: usize = 16;

/// The entries of a directory that are looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Files, sorted.
    pub(super) names: Vec<OsString>,
    /// What has the name of a monitor file and is no file, with its type in words.
    pub(super) others: Vec<(OsString, &'static str)>,
    /// How many files are left out.
    pub(super) more: usize,
}

/// How likely a file is one of the runtime's, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A living process of the file's owner has the id in its name.
    Living,
    /// It is named as the runtime names files.
    Named,
    Other,
}

/// A file with what decides whether it is looked at.
#[derive(Debug)]
struct Candidate {
    rank: Rank,
    stamp: Stamp,
    name: OsString,
}

impl Listing {
    /// At most `most` files.
    pub(super) fn of(directory: &Directory, living: &mut Living, most: usize) -> io::Result<Self> {
        let mut found = Self::default();
        for (nth, entry) in directory.entries()?.enumerate() {
            if nth == MAX_ENTRIES {
                found.more += 1;
                break;
            }
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !is_monitor_file(name) {
                continue;
            }
            match entry.file_type() {
                FileType::RegularFile | FileType::Unknown => found.names.push(name.to_owned()),
                other if found.others.len() < MAX_OTHERS && named_pid(name).is_some() => {
                    found.others.push((name.to_owned(), kind(other)));
                }
                _ => {}
            }
        }
        if found.names.len() > most {
            found.more += found.names.len() - most;
            found.names = chosen(found.names, directory, living, most);
        }
        found.names.sort_unstable();
        found.others.sort_unstable();
        Ok(found)
    }
}

fn chosen(names: Vec<OsString>, directory: &Directory, living: &mut Living, most: usize) -> Vec<OsString> {
    let mut by_likelihood: Vec<_> = names
        .into_iter()
        .map(|name| {
            let id = named_pid(&name);
            let lives = id.is_some_and(|id| living.with_id(id).is_ok_and(|pids| !pids.is_empty()));
            (!lives, id.is_none(), id, name)
        })
        .collect();
    by_likelihood.sort_unstable();
    let mut inodes = HashSet::new();
    let mut of_users = BTreeMap::<u32, Vec<Candidate>>::new();
    let mut examined = 0;
    for (is_dead, _, id, name) in by_likelihood {
        if is_dead {
            examined += 1;
            if examined > MAX_EXAMINED {
                break;
            }
        }
        let Ok(stamp) = directory.stamp(&name) else { continue };
        // Another name of the same file, such as a hard link.
        if !inodes.insert(stamp.inode) {
            continue;
        }
        let rank = match id {
            Some(id) if !is_dead && living.of_user(id, stamp.user).is_ok_and(|found| found.is_some()) => Rank::Living,
            Some(_) => Rank::Named,
            None => Rank::Other,
        };
        of_users
            .entry(stamp.user)
            .or_default()
            .push(Candidate { rank, stamp, name });
    }
    shared_out(of_users, Timestamp::now(), most)
}

/// Shares half of the places equally between the users, and the others by rank: one file of each user in turn, the
/// likeliest of each first.
fn shared_out(mut of_users: BTreeMap<u32, Vec<Candidate>>, now: Timestamp, most: usize) -> Vec<OsString> {
    for files in of_users.values_mut() {
        // A time in the future was set by a tool, or by a clock that was corrected since. The last is taken first.
        let order = |file: &Candidate| {
            let written = (file.stamp.modified <= now, file.stamp.modified);
            (std::cmp::Reverse(file.rank), written)
        };
        files.sort_by_key(order);
        // A process writes one file: only the last written of each counts as a living one's.
        let mut seen = HashSet::new();
        for file in files.iter_mut().rev() {
            if file.rank == Rank::Living && !seen.insert(named_pid(&file.name)) {
                file.rank = Rank::Named;
            }
        }
        files.sort_by_key(order);
    }
    let share = most / 2 / of_users.len().max(1);
    let mut chosen = Vec::with_capacity(most);
    for files in of_users.values_mut() {
        let likely = std::iter::from_fn(|| files.pop_if(|file| file.rank < Rank::Other));
        chosen.extend(likely.take(share).map(|file| file.name));
    }
    for rank in [Rank::Living, Rank::Named, Rank::Other] {
        let mut is_left = true;
        while is_left {
            is_left = false;
            for files in of_users.values_mut() {
                if chosen.len() < most
                    && let Some(file) = files.pop_if(|file| file.rank == rank)
                {
                    chosen.push(file.name);
                    is_left = true;
                }
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use accelscope_core::host::HostRoots;

    fn list(dir: &Path) -> Listing {
        let roots = HostRoots::new("/");
        Listing::of(
            &Directory::configured(&roots, dir).unwrap(),
            &mut Living::new(&roots),
            MAX_FILES,
        )
        .unwrap()
    }

    fn put(dir: &Path, name: &str, age: i64) {
        let file = File::create(dir.join(name)).unwrap();
        let age_of = Duration::from_secs(age.unsigned_abs());
        let time = if age < 0 {
            SystemTime::now() + age_of
        } else {
            SystemTime::now() - age_of
        };
        file.set_modified(time).unwrap();
    }

    fn has(listing: &Listing, name: &str) -> bool {
        listing.names.iter().any(|found| found == name)
    }

    /// Ids that no process has.
    fn dead(nth: usize) -> usize {
        4_194_400 + nth
    }

    #[test]
    fn a_flood_of_files_is_walked_through_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..2 * MAX_FILES {
            File::create(dir.path().join(format!("{}abcdef", dead(number)))).unwrap();
        }
        let found = list(dir.path());
        assert_eq!((found.names.len(), found.more), (MAX_FILES, MAX_FILES));
    }

    #[test]
    fn the_file_of_a_living_process_is_looked_at_however_many_are_younger() {
        let dir = tempfile::tempdir().unwrap();
        let ours = format!("{}Ab3dEf", std::process::id());
        put(dir.path(), &ours, 600);
        for number in 0..MAX_FILES {
            put(dir.path(), &format!("{}abcdef", dead(number)), 1);
            put(dir.path(), &format!("{}future", dead(number)), -600);
            put(dir.path(), &format!("zz top {number}"), 0);
        }
        let found = list(dir.path());
        assert!(has(&found, &ours));
        assert_eq!((found.names.len(), found.more), (MAX_FILES, 2 * MAX_FILES + 1));
        let odd = found.names.iter().filter(|name| named_pid(name).is_none());
        assert_eq!(odd.count(), 0, "names that no runtime writes come last");
    }

    #[test]
    fn hard_links_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let ours = std::process::id();
        put(dir.path(), &format!("{}abcdef", dead(0)), 0);
        for number in 0..2 * MAX_FILES {
            let link = dir.path().join(format!("{ours}{number:06}"));
            std::fs::hard_link(dir.path().join(format!("{}abcdef", dead(0))), link).unwrap();
        }
        let live = format!("{ours}Ab3dEf");
        put(dir.path(), &live, 5);
        let found = list(dir.path());
        assert!(has(&found, &live));
        assert_eq!(found.names.len(), 2);
    }

    #[test]
    fn what_is_no_file_and_has_the_name_of_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("7abcdef")).unwrap();
        std::fs::create_dir(dir.path().join("8abcdef")).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        put(dir.path(), "9abcdef", 0);
        put(dir.path(), "9abcdef.tmp", 0);
        let found = list(dir.path());
        assert_eq!(found.names, ["9abcdef"]);
        assert_eq!(
            found.others,
            [("7abcdef".into(), "a symbolic link"), ("8abcdef".into(), "a directory")]
        );
    }

    #[test]
    fn each_user_has_a_share() {
        let candidate = |rank, user, nth: usize, seconds: u64| Candidate {
            rank,
            stamp: Stamp {
                inode: nth as u64,
                size: 1,
                modified: Timestamp::from_unix_nanos(seconds * 1_000_000_000),
                user,
                is_open: false,
            },
            name: format!("{}user{user:02}", 1000 + nth).into(),
        };
        let flood = (0..5 * MAX_FILES).map(|nth| candidate(Rank::Living, 12, nth, 100));
        let ours = (0..3).map(|nth| candidate(Rank::Named, 34, nth, 10 + nth as u64));
        let of_users = BTreeMap::from([(12, flood.collect()), (34, ours.collect())]);
        let chosen = shared_out(of_users, Timestamp::from_unix_nanos(u64::MAX), MAX_FILES);
        assert_eq!(chosen.len(), MAX_FILES);
        let ours = chosen.iter().filter(|name| name.to_string_lossy().ends_with("user34"));
        assert_eq!(ours.count(), 3);
    }
}
