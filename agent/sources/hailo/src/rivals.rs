//! Several fresh files of one directory that one process seems to write, which writes only one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::file_name::named_pid;
use super::files::Files;
use super::owner::Rivals;
use accelscope_core::metric::{ProcessKey, Timestamp};

/// One of the files. All of them are of the process' own user.
#[derive(Debug)]
struct Rival {
    name: OsString,
    /// Whether the process' id in the name, and whether it was written again since the process was found: the likelier.
    likelihood: (bool, bool),
    written: Timestamp,
    inode: u64,
}

impl Files {
    /// Of several fresh files of one process shows the likeliest, and the others not: anybody who may write to the directory
    /// can make another name of a file, or keep its last version under one.
    ///
    /// Where none is the likeliest, none is shown with the process. Of two containers that share the directory and had
    /// writers with the same id, one may have been killed; the other must not be shown with the values of both.
    pub(super) fn compare_rivals(&mut self, max_age: Option<Duration>, now: Instant) {
        let mut claims = HashMap::<ProcessKey, Vec<Rival>>::new();
        for (name, file) in self.all_mut() {
            file.owner.rivals = Rivals::None;
            let (Some(process), Some(latest), Some(stamp)) = (file.owner.process(), file.latest(), file.stamp()) else {
                continue;
            };
            if file.is_fresh(max_age, now) {
                claims.entry(process).or_default().push(Rival {
                    name: name.clone(),
                    likelihood: (named_pid(name) == Some(latest.reading.pid), file.owner.is_confirmed()),
                    written: latest.written,
                    inode: stamp.inode,
                });
            }
        }
        for files in claims.into_values().filter(|files| files.len() > 1) {
            let standing = standing(&files);
            for (rival, rivals) in files.iter().zip(standing) {
                self.set_rivals(&rival.name, rivals);
            }
        }
    }
}

/// How each of the files, which are ordered by name, stands to the others.
fn standing(files: &[Rival]) -> Vec<Rivals> {
    let best = files.iter().map(|file| file.likelihood).max().unwrap_or_default();
    let mut inodes = BTreeSet::new();
    let mut standing = vec![Rivals::Likelier; files.len()];
    // Of several names of one file the first.
    let mut is_best = |file: &Rival| file.likelihood == best && inodes.insert(file.inode);
    let left: Vec<usize> = (0..files.len()).filter(|nth| is_best(&files[*nth])).collect();
    let newest = left.iter().map(|nth| files[*nth].written).max();
    let (_, is_confirmed) = best;
    // Another's file is not written again by the process: what is not its last version is a copy that was kept.
    let last: Vec<usize> = left
        .iter()
        .copied()
        .filter(|nth| Some(files[*nth].written) == newest)
        .collect();
    match (&left[..], &last[..]) {
        ([only], _) => standing[*only] = Rivals::None,
        (_, [only]) if is_confirmed => standing[*only] = Rivals::None,
        _ => left.iter().for_each(|nth| standing[*nth] = Rivals::Alike(left.len())),
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rival(name: &str, is_named: bool, is_confirmed: bool, written: u64, inode: u64) -> Rival {
        Rival {
            name: name.into(),
            likelihood: (is_named, is_confirmed),
            written: Timestamp::from_unix_nanos(written),
            inode,
        }
    }

    #[test]
    fn the_file_that_was_there_before_keeps_its_process() {
        let files = [rival("a", true, false, 9, 1), rival("b", true, true, 1, 2)];
        assert_eq!(standing(&files), [Rivals::Likelier, Rivals::None]);
        let files = [rival("a", false, true, 9, 1), rival("b", true, false, 1, 2)];
        assert_eq!(standing(&files), [Rivals::Likelier, Rivals::None], "the id in its name");
    }

    #[test]
    fn two_that_were_found_together_are_of_neither_until_one_is_written_again() {
        let files = [rival("a", true, false, 1, 1), rival("b", true, false, 2, 2)];
        assert_eq!(standing(&files), [Rivals::Alike(2), Rivals::Alike(2)]);
        let files = [rival("a", true, false, 1, 1), rival("b", true, true, 3, 3)];
        assert_eq!(standing(&files), [Rivals::Likelier, Rivals::None]);
    }

    #[test]
    fn another_name_of_a_file_and_a_copy_that_was_kept_take_nothing_from_it() {
        let files = [rival("a", true, true, 2, 1), rival("b", true, true, 2, 1)];
        assert_eq!(standing(&files), [Rivals::None, Rivals::Likelier]);
        let files = [rival("a", true, true, 1, 1), rival("b", true, true, 2, 2)];
        assert_eq!(standing(&files), [Rivals::Likelier, Rivals::None]);
    }
}
