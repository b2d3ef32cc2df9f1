//! Groups whose members may write where code lies.
//!
//! Root's own may, and so may Debian's `staff`, to which `/usr/local` and `/var/local` belong (Debian Policy 9.1.2), as long
//! as it has no members. Another group without members is not therefore nobody's: a service (`Group=`), a program with the
//! setgid bit or a container (`supplementalGroups`) has it without being named in any list. `staff` is for people alone.

use std::io;
use std::path::{Path, PathBuf};

use super::walk::{self, Found, Start, Trusted, is_ours};
use super::writers::{self, Writers};
use crate::host::bounded::read_regular;
use crate::host::writer::OVERFLOW_USER;

const STAFF: &str = "staff";
/// Longest file of accounts that is read.
const MAX_BYTES: usize = 4 << 20;
/// The root of the machine's first process: that of the host, where it is visible.
const FIRST: &str = "/proc/1/root";
/// Services that have their accounts in the same files, or make them for services of their own (nsswitch.conf(5)).
const LOCAL: &[&str] = &["files", "compat", "systemd", "db", "altfiles"];

/// Directories on the way to a file. Each that has accounts, as `/` and the host's root in a container, is the root of a system
/// whose processes may write to it.
#[derive(Debug)]
pub(super) struct Roots<'a> {
    /// Where the way begins.
    pub(super) start: &'a Start,
    pub(super) above: &'a [Trusted],
}

impl Roots<'_> {
    /// Those that nobody but root and this user can exchange, not even a group of people.
    fn systems(&self) -> impl Iterator<Item = &Trusted> {
        let is_private = |above: &&Trusted| {
            let others = || Writers::of(&above.handle, &above.stat, true, self);
            !writers::is_groups(&above.stat)
                && (above.shared.is_some() || others().is_ok_and(|others| others.is_none()))
        };
        let above = self.above.iter().take_while(is_private);
        above.filter(|above| above.shared.is_none())
    }
}

/// Why others than root may be in that group; `None` where it is root's.
pub(super) fn strictly(group: u32) -> Option<String> {
    (group != 0).then(|| format!("group {group}"))
}

/// The same; `None` also where it is `staff` and nobody is in it.
pub(super) fn others(group: u32, roots: &Roots<'_>) -> Option<String> {
    if group == 0 {
        return None;
    }
    // The stand-in for groups that the user namespace does not have.
    if group == OVERFLOW_USER {
        return strictly(group);
    }
    let mut is_staff = false;
    let own = (!roots.start.is_own()).then(|| walk::look(Path::new("/")));
    let own = match own.transpose() {
        Ok(Some(Found::Here(own))) => Some(own),
        Ok(_) => None,
        Err(error) => return Some(format!("a group whose members are not known: {error}")),
    };
    let own_start = Start::own();
    let below = roots.systems().map(|root| System::Below(roots.start, root));
    let own = own.iter().map(|root| System::Below(&own_start, root));
    for system in below.chain(own).chain([System::First]) {
        let about =
            Accounts::read(&system).and_then(|accounts| accounts.map_or(Ok(false), |found| found.is_staff(group)));
        match about {
            Ok(found) => is_staff |= found,
            Err(why) => return Some(why),
        }
    }
    if is_staff { None } else { strictly(group) }
}

/// Where a system has its accounts.
enum System<'a> {
    /// Below a directory on the way from there.
    Below(&'a Start, &'a Trusted),
    /// Of the machine's first process.
    First,
}

impl System<'_> {
    fn path(&self, name: &str) -> PathBuf {
        let root = match self {
            Self::Below(_, root) => &root.path,
            Self::First => Path::new(FIRST),
        };
        root.join("etc").join(name)
    }

    /// A file of accounts; `None` where there is none.
    fn text(&self, name: &str) -> io::Result<Option<String>> {
        let bytes = match self {
            Self::First => match read_regular(&self.path(name), MAX_BYTES) {
                // Where it is not visible, it is not known to be another's either.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
                other => other,
            },
            // Nobody else may have written what the accounts are.
            Self::Below(start, root) => {
                let path = Path::new("/etc").join(name);
                match walk::look_strictly(start, root, &path).map_err(io::Error::other)? {
                    Found::Nothing => return Ok(None),
                    Found::Here(found) => read_regular(Path::new(&found.descriptor()), MAX_BYTES),
                }
            }
        };
        match bytes {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The accounts of a system.
#[derive(Debug, Default)]
struct Accounts {
    group: String,
    passwd: String,
    gshadow: String,
    nsswitch: String,
}

impl Accounts {
    /// Those of a system, if it has any.
    fn read(system: &System<'_>) -> Result<Option<Self>, String> {
        let read = |name: &str| {
            let text = system.text(name);
            text.map_err(|error| {
                let path = system.path(name);
                format!("a group whose members are not known: {}: {error}", path.display())
            })
        };
        let Some(group) = read("group")? else { return Ok(None) };
        Ok(Some(Self {
            group,
            passwd: read("passwd")?.unwrap_or_default(),
            gshadow: read("gshadow")?.unwrap_or_default(),
            nsswitch: read("nsswitch.conf")?.unwrap_or_default(),
        }))
    }

    /// Whether the group is called `staff` here. Fails with the reason if others than root and this user may be in it, or that
    /// is not known.
    fn is_staff(&self, group: u32) -> Result<bool, String> {
        let mut is_staff = false;
        for fields in entries(&self.group) {
            let [name, password, number, members, ..] = *fields.as_slice() else {
                continue;
            };
            if number.trim().parse() != Ok(group) {
                continue;
            }
            if name != STAFF {
                return Err(format!("group {name}"));
            }
            is_staff = true;
            self.only_ours(members)?;
            no_password(password)?;
        }
        if !is_staff {
            return Ok(false);
        }
        for fields in entries(&self.gshadow).filter(|fields| fields[0] == STAFF) {
            no_password(fields.get(1).copied().unwrap_or_default())?;
            // Administrators of the group can put themselves into it.
            for members in fields.iter().skip(2) {
                self.only_ours(members)?;
            }
        }
        for fields in entries(&self.passwd) {
            let first = fields.get(3).and_then(|first| first.trim().parse().ok());
            if first == Some(group) {
                self.only_ours(fields[0])?;
            }
        }
        self.is_local().map(|()| true)
    }

    fn only_ours(&self, members: &str) -> Result<(), String> {
        let user = |name: &str| {
            let mut found = entries(&self.passwd).filter(|fields| fields[0] == name);
            found.next()?.get(2)?.trim().parse().ok()
        };
        let mut names = members.split(',').map(str::trim).filter(|name| !name.is_empty());
        match names.find(|name| !user(name).is_some_and(is_ours)) {
            Some(other) => Err(format!("group {STAFF}, in which {other} is")),
            None => Ok(()),
        }
    }

    /// Whether accounts are in these files alone, and not in a directory service too.
    fn is_local(&self) -> Result<(), String> {
        if entries(&self.group)
            .chain(entries(&self.passwd))
            .any(|fields| fields[0].starts_with(['+', '-']))
        {
            return Err(format!("group {STAFF}, whose members NIS may have"));
        }
        let lines = self
            .nsswitch
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let services = lines.filter_map(|line| {
            let (database, services) = line.split_once(':')?;
            matches!(database.trim(), "group" | "passwd" | "initgroups").then_some(services)
        });
        let mut words = services.flat_map(|services| services.split_whitespace());
        // What to do after a service stands in brackets.
        let is_other = |word: &&str| !LOCAL.contains(word) && !word.starts_with('[') && !word.ends_with(']');
        match words.find(is_other) {
            Some(other) => Err(format!("group {STAFF}, whose members {other} may have (nsswitch.conf)")),
            None => Ok(()),
        }
    }
}

fn no_password(password: &str) -> Result<(), String> {
    if password.is_empty() || password == "x" || password.starts_with(['!', '*']) {
        return Ok(());
    }
    Err(format!("group {STAFF}, which has a password"))
}

/// The fields of each line, of which there is at least one.
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nedge:x:4711:4711::/home/edge:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nmail:x:8:\nstaff:x:50:\nedge:x:4711:\n";

    fn about(change: impl FnOnce(&mut Accounts)) -> Result<bool, String> {
        let mut accounts = Accounts {
            group: GROUP.to_owned(),
            passwd: PASSWD.to_owned(),
            gshadow: "staff:*::\n".to_owned(),
            nsswitch: "passwd: files systemd\ngroup: files [SUCCESS=merge] systemd # sss\nhosts: dns\n".to_owned(),
        };
        change(&mut accounts);
        accounts.is_staff(50)
    }

    #[test]
    fn staff_without_members_is_roots_and_with_one_it_is_not() {
        assert_eq!(about(|_| {}), Ok(true));
        let why = |change: &dyn Fn(&mut Accounts)| about(change).unwrap_err();
        let member = |found: &mut Accounts| found.group = GROUP.replace("staff:x:50:", "staff:x:50:root,edge");
        assert!(why(&member).contains("edge"));
        assert_eq!(
            about(|found| found.group = GROUP.replace("x:50:", "x:50:root")),
            Ok(true)
        );
        let unknown = |found: &mut Accounts| found.group = GROUP.replace("x:50:", "x:50:of-ldap");
        assert!(why(&unknown).contains("of-ldap"));
        let first = |found: &mut Accounts| found.passwd = PASSWD.replace("4711:4711", "4711:50");
        assert!(why(&first).contains("edge"));
        for line in ["staff:$6$x:::", "staff:!:edge:", "staff:!::edge"] {
            assert!(about(|found| line.clone_into(&mut found.gshadow)).is_err(), "{line}");
        }
        assert!(about(|found| found.group = GROUP.replace("staff:x:", "staff:aQ.x:")).is_err());
    }

    #[test]
    fn members_that_a_directory_service_may_have_are_members() {
        for line in [
            "group: files sss",
            "passwd: files ldap",
            "initgroups: winbind [NOTFOUND=return] files",
        ] {
            assert!(about(|found| line.clone_into(&mut found.nsswitch)).is_err(), "{line}");
        }
        assert!(about(|found| found.group.push_str("+::0:\n")).is_err());
        assert_eq!(about(|found| found.nsswitch.clear()), Ok(true));
    }

    #[test]
    fn another_group_is_others_whoever_is_in_it() {
        let accounts = Accounts {
            group: format!("{GROUP}people:x:50:\n"),
            ..Accounts::default()
        };
        assert!(accounts.is_staff(50).is_err(), "two names");
        assert_eq!(accounts.is_staff(8), Err("group mail".to_owned()));
        assert_eq!(accounts.is_staff(77), Ok(false));
        let roots = Roots {
            start: &Start::own(),
            above: &[],
        };
        for group in [77, OVERFLOW_USER] {
            assert!(others(group, &roots).is_some(), "{group}");
        }
        assert_eq!(others(0, &roots), None);
    }
}
