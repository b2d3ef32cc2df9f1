//! Directories of engines that users run without root.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::configured::{self, Named};
use super::files::Files;
use super::patience::Author;
use super::place::{Owner, Place};

/// Longest `/etc/passwd` that is read.
const MAX_BYTES: usize = 1 << 20;
/// Most users that are looked at.
const MAX_USERS: usize = 512;
/// Where homes are, of users that `/etc/passwd` does not have.
const HOMES: &[&str] = &["/home", "/var/home"];

/// A user with a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) home: PathBuf,
}

impl User {
    /// Whose engines are in the home.
    pub(super) fn owner(&self) -> Owner {
        let is_home = HOMES.iter().any(|parent| self.home.starts_with(parent));
        match Owner::of(self.uid) {
            Owner::Root if is_home => Owner::SomeUser,
            owner => owner,
        }
    }
}

impl User {
    /// Who decides whether a read of the home returns.
    pub(super) fn author(&self, is_known: bool) -> Author {
        if is_known && self.uid != 0 {
            Author::User(self.uid)
        } else {
            Author::Home(self.home.clone())
        }
    }
}

/// What the engines of a user know of their own configuration. `data` and `config` are the user's, by default
/// `~/.local/share` and `~/.config`; `of_users` are patterns of the system's configuration.
pub(super) fn directories(files: &Files, user: &User, data: &Path, config: &Path, of_users: &[String]) -> Vec<PathBuf> {
    let own: Named = configured::settings(files, &config.join("containers/storage.conf"));
    let mut found: Vec<PathBuf> = configured::daemon(files, &config.join("docker/daemon.json"))
        .into_iter()
        .collect();
    found.extend(own.directories);
    let patterns = own.of_users.iter().chain(of_users);
    found.extend(patterns.map(|pattern| expand(pattern, user)));
    found.push(data.join("containers/storage"));
    found.push(data.join("docker"));
    // With `transient_store`.
    found.push(format!("/run/user/{}/containers", user.uid).into());
    found
}

/// `~/.local/share` and `~/.config`.
pub(super) fn usual(home: &Path) -> (PathBuf, PathBuf) {
    (home.join(".local/share"), home.join(".config"))
}

fn expand(pattern: &str, user: &User) -> PathBuf {
    let home = user.home.to_string_lossy();
    let uid = user.uid.to_string();
    let values = [("HOME", &*home), ("UID", &*uid), ("USER", &*user.name)];
    let mut text = pattern.to_owned();
    for (name, value) in values {
        text = text
            .replace(&format!("${{{name}}}"), value)
            .replace(&format!("${name}"), value);
    }
    match text.strip_prefix("~/") {
        Some(rest) => user.home.join(rest),
        None => text.into(),
    }
}

/// Users with a home of their own, those of `/etc/passwd` first. Whose the other homes are is not looked at.
pub(super) fn all(files: &Files) -> Vec<(User, bool)> {
    let passwd = files.roots.read_stored("/etc/passwd", MAX_BYTES).unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd).into_owned();
    let mut users: Vec<(User, bool)> = passwd.lines().filter_map(of_line).map(|user| (user, true)).collect();
    let mut homes: HashSet<PathBuf> = users.iter().map(|(user, _)| user.home.clone()).collect();
    for parent in HOMES.iter().map(Path::new) {
        for name in files.names(parent, MAX_USERS) {
            let home = parent.join(&name);
            if homes.insert(home.clone()) {
                users.push((User { name, uid: 0, home }, false));
            }
        }
    }
    users.truncate(MAX_USERS);
    users
}

/// The directories of this user's engines that exist. A home that is remote is left out: its file server may not answer.
/// `is_known` says whether the user has a name here; else the owner of the home is the user.
pub(super) fn places(files: &Files, mut user: User, is_known: bool, of_users: &[String]) -> Vec<Place> {
    if files.is_remote(&user.home) {
        return Vec::new();
    }
    if !is_known {
        user.uid = files
            .roots
            .path(&user.home)
            .metadata()
            .map_or(0, |metadata| metadata.uid());
    }
    let (data, config) = usual(&user.home);
    let paths = directories(files, &user, &data, &config, of_users).into_iter();
    let places = paths.map(|path| Place {
        owner: user.owner(),
        ..Place::new(files, path)
    });
    places.filter(Place::exists).collect()
}

/// `<name>:<password>:<uid>:<gid>:<comment>:<home>:<shell>`. The homes of system accounts are directories of the system.
fn of_line(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let (name, uid, home) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.nth(2)?);
    let is_systems = ["/", "/bin", "/sbin", "/dev", "/nonexistent", "/proc", "/usr"].contains(&home)
        || ["/usr/", "/dev/", "/bin/", "/proc/"]
            .iter()
            .any(|system| home.starts_with(system));
    (home.starts_with('/') && !is_systems).then(|| User {
        name: name.to_owned(),
        uid,
        home: home.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_path_has_the_users_name_id_and_home() {
        let user = of_line("edge:x:1000:1000:Edge,,,:/home/edge:/bin/bash").unwrap();
        assert_eq!((user.uid, user.home.as_path()), (1000, Path::new("/home/edge")));
        for (pattern, path) in [
            ("$HOME/.containers", "/home/edge/.containers"),
            ("/srv/${USER}/$UID", "/srv/edge/1000"),
            ("~/c", "/home/edge/c"),
            ("/srv/c", "/srv/c"),
        ] {
            assert_eq!(expand(pattern, &user), Path::new(path), "{pattern}");
        }
        assert_eq!(of_line("daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin"), None);
        assert_eq!(of_line("nobody:x:65534:65534:nobody:/nonexistent:/bin/false"), None);
        assert_eq!(of_line("broken"), None);
    }
}
