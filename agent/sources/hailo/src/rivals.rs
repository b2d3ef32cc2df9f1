//! Several fresh files of one directory that one process seems to write, which writes only one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::file_name::named_pid;
use super::files::Files;
use super::owner::Rivals;
use accelscope_core::metric::ProcessKey;

/// One of the files. All of them are of the process' own user.
#[derive(Debug)]
struct Rival {
    name: OsString,
    /// Whether the process' id is in the name.
    is_named: bool,
    /// When its process was found, and when it was first written since.
    found: Option<Instant>,
    confirmed: Option<Instant>,
    inode: u64,
}

impl Rival {
    /// The more, the likelier.
    const fn likelihood(&self) -> (bool, bool) {
        (self.is_named, self.confirmed.is_some())
    }

    /// Whether it was there before the other, and has been written since.
    fn was_before(&self, other: &Self) -> bool {
        self.confirmed.is_some() && self.found < other.found
    }
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
                    is_named: named_pid(name) == Some(latest.reading.pid),
                    found: file.owner.found_at(),
                    confirmed: file.owner.confirmed_at(),
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
///
/// Of several that go on being written the process' own is not known by their times: root in another container can write at
/// any time. The one that was there first keeps the process; where none was, none has it.
fn standing(files: &[Rival]) -> Vec<Rivals> {
    let best = files.iter().map(Rival::likelihood).max().unwrap_or_default();
    let mut inodes = BTreeSet::new();
    let mut standing = vec![Rivals::Likelier; files.len()];
    // Of several names of one file the first.
    let mut is_best = |file: &Rival| file.likelihood() == best && inodes.insert(file.inode);
    let left: Vec<usize> = (0..files.len()).filter(|nth| is_best(&files[*nth])).collect();
    let is_first = |nth: &&usize| {
        let mut others = left.iter().filter(|other| other != nth);
        others.all(|other| files[**nth].was_before(&files[*other]))
    };
    match left.iter().find(is_first) {
        Some(first) => standing[*first] = Rivals::None,
        None => left.iter().for_each(|nth| standing[*nth] = Rivals::Alike(left.len())),
    }
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found and confirmed in those seconds.
    fn rivals<const N: usize>(files: [(bool, u64, Option<u64>, u64); N]) -> Vec<Rivals> {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let files = files.map(|(is_named, found, confirmed, inode)| Rival {
            name: OsString::new(),
            is_named,
            found: Some(at(found)),
            confirmed: confirmed.map(at),
            inode,
        });
        standing(&files)
    }

    #[test]
    fn the_file_that_was_there_before_keeps_its_process() {
        let kept = [Rivals::Likelier, Rivals::None];
        assert_eq!(rivals([(true, 5, None, 1), (true, 1, Some(2), 2)]), kept);
        assert_eq!(
            rivals([(true, 5, Some(6), 1), (true, 1, Some(2), 2)]),
            kept,
            "however often the other is written"
        );
        assert_eq!(
            rivals([(false, 1, Some(2), 1), (true, 5, None, 2)]),
            kept,
            "the id in its name"
        );
    }

    #[test]
    fn two_that_were_found_together_are_of_neither_until_one_alone_is_written_again() {
        let alike = [Rivals::Alike(2), Rivals::Alike(2)];
        assert_eq!(rivals([(true, 1, None, 1), (true, 1, None, 2)]), alike);
        assert_eq!(
            rivals([(true, 1, None, 1), (true, 1, Some(2), 3)]),
            [Rivals::Likelier, Rivals::None]
        );
        assert_eq!(rivals([(true, 1, None, 1), (true, 2, None, 2)]), alike);
        assert_eq!(rivals([(true, 1, Some(3), 4), (true, 1, Some(2), 3)]), alike);
    }

    #[test]
    fn another_name_of_a_file_takes_nothing_from_it() {
        assert_eq!(
            rivals([(true, 1, Some(2), 1), (true, 1, Some(2), 1)]),
            [Rivals::None, Rivals::Likelier]
        );
    }
}
