use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::host::HostRoots;

/// Of `nobody`, where this process may give files away.
const OTHER: u32 = 65534;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// `a/b/file`, in a folder of its own.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    mode(&folder.path().join("a"), 0o755);
    mode(&folder.path().join("a/b"), 0o755);
    let file = folder.path().join("a/b/file");
    std::fs::write(&file, "").unwrap();
    mode(&file, 0o755);
    (folder, file)
}

#[test]
fn what_others_can_write_or_exchange_is_refused_wherever_it_is_on_the_way() {
    let (folder, file) = tree();
    assert!(open(&file).is_ok());
    for (at, unsafe_mode) in [("a/b/file", 0o775), ("a/b/file", 0o757), ("a/b", 0o777), ("a", 0o775)] {
        let at = folder.path().join(at);
        // Another than root's group; who is not root has another anyway.
        std::os::unix::fs::lchown(&at, None, Some(OTHER)).ok();
        mode(&at, unsafe_mode);
        let error = open(&file).unwrap_err();
        let named = error.to_string().contains(&at.display().to_string());
        assert!(matches!(error, Refused::Writable { .. }) && named, "{error}");
        mode(&at, 0o755);
    }
    if std::os::unix::fs::lchown(&file, None, Some(0)).is_ok() {
        mode(&file, 0o775);
        assert!(open(&file).is_ok(), "root's group is root's");
        mode(&file, 0o755);
    }
    mode(&folder.path().join("a"), 0o1777);
    assert!(open(&file).is_ok(), "in a sticky directory nobody removes what is ours");
}

#[test]
fn what_belongs_to_another_user_is_refused_wherever_it_is_on_the_way() {
    let (folder, file) = tree();
    let link = folder.path().join("a/link");
    symlink(&file, &link).unwrap();
    assert!(open(&link).is_ok());
    let all = [("a/b/file", &file), ("a/b", &file), ("a", &file), ("a/link", &link)];
    for (at, path) in all {
        let at = folder.path().join(at);
        let own = rustix::process::geteuid().as_raw();
        if std::os::unix::fs::lchown(&at, Some(OTHER), None).is_err() {
            return;
        }
        let error = open(path).unwrap_err();
        let named = error.to_string().contains(&path.display().to_string());
        assert!(
            matches!(error, Refused::Foreign { owner: OTHER, .. }) && named,
            "{error}"
        );
        std::os::unix::fs::lchown(&at, Some(own), None).unwrap();
    }
}

#[test]
fn links_are_followed_and_what_they_lead_over_is_looked_at() {
    let (folder, file) = tree();
    let [relative, absolute, circle] = ["relative", "absolute", "circle"].map(|name| folder.path().join(name));
    symlink("a/../a/b", &relative).unwrap();
    symlink(folder.path().join("a"), &absolute).unwrap();
    symlink("circle", &circle).unwrap();
    let [plain, by_relative, by_absolute] =
        [file, relative.join("file"), absolute.join("b/file")].map(|path| open(&path).unwrap().stat.st_ino);
    assert!(plain == by_relative && plain == by_absolute);
    assert!(matches!(open(&circle.join("file")), Err(Refused::Unseen(..))));
    mode(&folder.path().join("a"), 0o777);
    assert!(matches!(open(&relative.join("file")), Err(Refused::Writable { .. })));
}

#[test]
fn nothing_is_nothing_only_where_nobody_else_can_make_it() {
    let (folder, file) = tree();
    let absent = file.with_file_name("absent").join("below");
    assert!(matches!(look(&absent), Ok(Found::Nothing)));
    assert!(matches!(open(&absent), Err(Refused::Unseen(..))));
    mode(&folder.path().join("a/b"), 0o1777);
    assert!(matches!(look(&absent), Err(Refused::Writable { .. })));
}

#[test]
fn from_another_root_links_stay_below_it() {
    let (folder, file) = tree();
    let start = Start::at(folder.path());
    for (link, target) in [("absolute", "/a/b"), ("up", "../../../../../a/b")] {
        symlink(target, folder.path().join(link)).unwrap();
        let Found::Here(found) = look_from(&start, &Path::new("/").join(link).join("file")).unwrap() else {
            panic!("{link}");
        };
        assert_eq!(found.stat.st_ino, open(&file).unwrap().stat.st_ino, "{link}");
        assert_eq!(found.path, Path::new("/a/b/file"), "{link}");
    }
    assert!(matches!(look_from(&start, file.as_path()), Ok(Found::Nothing)));
    // The root itself counts.
    mode(folder.path(), 0o777);
    let error = check_owned(&start, Path::new("/a/b/file")).unwrap_err();
    assert!(
        matches!(&error, Refused::Writable { path, .. } if path == Path::new("/")),
        "{error}"
    );
}

#[test]
fn in_the_root_of_a_process_what_is_mounted_is_judged_by_its_mounts() {
    let roots = HostRoots::new("/");
    let start = Start::of_process(&Processes::new(&roots), std::process::id());
    assert!(check_owned(&start, Path::new("/proc")).is_ok());
    let gone = Start::of_process(&Processes::new(&roots), 0);
    assert!(matches!(
        check_owned(&gone, Path::new("/proc")),
        Err(Refused::Unseen(..))
    ));
}

#[test]
fn into_what_is_owned_others_can_put_nothing() {
    let (folder, file) = tree();
    let directory = folder.path().join("a/b");
    mode(&directory, 0o1777);
    assert!(check_owned(&Start::own(), &file).is_ok());
    for checked in [
        check_owned(&Start::own(), &directory),
        super::directory(&directory).map(|_| ()),
    ] {
        let error = checked.unwrap_err();
        assert!(matches!(error, Refused::Writable { .. }), "{error}");
    }
}
