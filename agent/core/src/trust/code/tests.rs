use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The smallest library with these entries in its dynamic section.
fn library(entries: &[(i64, &str)]) -> Vec<u8> {
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    let mut strings = vec![0];
    let mut dynamic: Vec<(i64, u64)> = Vec::new();
    for (tag, text) in entries {
        dynamic.push((*tag, strings.len() as u64));
        strings.extend(text.as_bytes());
        strings.push(0);
    }
    let table = HEADER + 2 * SEGMENT;
    let dynamic_size = (dynamic.len() as u64 + 3) * 16;
    let strings_at = table + dynamic_size;
    dynamic.push((object::elf::DT_STRTAB, strings_at));
    dynamic.push((object::elf::DT_STRSZ, strings.len() as u64));
    dynamic.push((object::elf::DT_NULL, 0));
    let size = strings_at + strings.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let short = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    // Type, machine, version, entry, segments, sections, flags, sizes and numbers.
    short(&mut file, 3);
    short(&mut file, 62);
    word(&mut file, 1);
    long(&mut file, 0);
    long(&mut file, HEADER);
    long(&mut file, 0);
    word(&mut file, 0);
    for value in [HEADER as u16, SEGMENT as u16, 2, 0, 0, 0] {
        short(&mut file, value);
    }
    for (kind, at, size) in [(1, 0, size), (2, table, dynamic_size)] {
        word(&mut file, kind);
        word(&mut file, 4);
        for value in [at, at, at, size, size, 8] {
            long(&mut file, value);
        }
    }
    for (tag, value) in dynamic {
        long(&mut file, tag.cast_unsigned());
        long(&mut file, value);
    }
    file.extend(strings);
    file
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        mode(&path, 0o755);
        path
    }
}

/// The innermost reason.
fn reason(error: &Refused) -> &Refused {
    match error {
        Refused::Needed { why, .. } => reason(why),
        error => error,
    }
}

#[track_caller]
fn refused(file: &Path, directories: &[PathBuf], named: &str) {
    let error = check(file, directories).unwrap_err();
    let found = reason(&error);
    assert!(matches!(found, Refused::Writable { .. }), "{found}");
    assert!(found.to_string().contains(named), "{found}");
}

#[test]
fn a_needed_library_is_checked_wherever_the_loader_may_find_it_and_so_is_what_that_needs() {
    use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH};
    let folder = Folder::new();
    let deepest = folder.put("deep/libdeepest.so", &library(&[]));
    let runpath = folder.0.path().join("deep").display().to_string();
    folder.put(
        "lib/libmiddle.so",
        &library(&[(DT_NEEDED, "libdeepest.so"), (DT_RUNPATH, &runpath)]),
    );
    let top = folder.put(
        "libtop.so",
        &library(&[(DT_NEEDED, "libmiddle.so"), (DT_RPATH, "$ORIGIN/lib")]),
    );
    check(&top, &[]).unwrap();
    for (at, named) in [
        ("deep/libdeepest.so", "libdeepest.so"),
        ("lib/libmiddle.so", "libmiddle.so"),
    ] {
        mode(&folder.0.path().join(at), 0o777);
        refused(&top, &[], named);
        mode(&folder.0.path().join(at), 0o755);
    }
    mode(deepest.parent().unwrap(), 0o777);
    refused(&top, &[], "deep");
}

#[test]
fn a_directory_of_the_environment_counts_as_one_that_the_library_names() {
    use object::elf::DT_NEEDED;
    let folder = Folder::new();
    let needed = folder.put("given/libneeded.so", &library(&[]));
    let top = folder.put("libtop.so", &library(&[(DT_NEEDED, "libneeded.so")]));
    let given = [needed.parent().unwrap().to_owned()];
    check(&top, &given).unwrap();
    mode(&needed, 0o757);
    check(&top, &[]).unwrap();
    refused(&top, &given, "libneeded.so");
}

#[test]
fn a_directory_that_others_can_make_is_refused_although_there_is_none() {
    use object::elf::DT_RUNPATH;
    let folder = Folder::new();
    let shared = folder.0.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    mode(&shared, 0o755);
    let runpath = shared.join("build/lib").display().to_string();
    let top = folder.put("libtop.so", &library(&[(DT_RUNPATH, &runpath)]));
    check(&top, &[]).unwrap();
    mode(&shared, 0o1777);
    refused(&top, &[], "shared");
}

#[test]
fn a_script_is_as_good_as_its_interpreter() {
    let folder = Folder::new();
    let interpreter = folder.put("bin/interpreter", &library(&[]));
    let script = folder.put("npu-smi", format!("#! {} -x\n", interpreter.display()).as_bytes());
    check(&script, &[]).unwrap();
    mode(&interpreter, 0o777);
    refused(&script, &[], "interpreter");
    check(&folder.put("by-env", b"#!/usr/bin/env sh\n"), &[]).unwrap();
}

#[test]
fn a_shared_directory_is_none_to_look_into_although_nothing_is_there() {
    use object::elf::DT_RUNPATH;
    let folder = Folder::new();
    let shared = folder.0.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    mode(&shared, 0o1777);
    let top = folder.put("libtop.so", &library(&[(DT_RUNPATH, "$ORIGIN/shared")]));
    refused(&top, &[], "shared");
}

#[test]
fn a_library_is_looked_for_in_the_directories_of_all() {
    use object::elf::{DT_NEEDED, DT_RPATH};
    let folder = Folder::new();
    let deep = folder.put("lib/libdeep.so", &library(&[]));
    folder.put("lib/libmiddle.so", &library(&[(DT_NEEDED, "libdeep.so")]));
    // The directory is named after the library that is looked for there too.
    let entries = [
        (DT_NEEDED, "libdeep.so"),
        (DT_NEEDED, "$ORIGIN/lib/libmiddle.so"),
        (DT_RPATH, "${ORIGIN}/lib"),
    ];
    let top = folder.put("libtop.so", &library(&entries));
    check(&top, &[]).unwrap();
    mode(&deep, 0o777);
    refused(&top, &[], "libdeep.so");
}

#[test]
fn a_library_that_is_found_by_two_ways_has_two_origins() {
    use object::elf::DT_NEEDED;
    let folder = Folder::new();
    folder.put("one/libmiddle.so", &library(&[(DT_NEEDED, "$ORIGIN/libdeep.so")]));
    let deep = folder.put("two/libdeep.so", &library(&[]));
    std::os::unix::fs::symlink("../one/libmiddle.so", folder.0.path().join("two/libmiddle.so")).unwrap();
    let names = [
        (DT_NEEDED, "$ORIGIN/one/libmiddle.so"),
        (DT_NEEDED, "$ORIGIN/two/libmiddle.so"),
    ];
    let top = folder.put("libtop.so", &library(&names));
    check(&top, &[]).unwrap();
    mode(&deep, 0o777);
    refused(&top, &[], "libdeep.so");
}

#[test]
fn names_that_cannot_be_read_are_not_passed_over() {
    use object::elf::{DT_AUDIT, DT_NEEDED};
    let folder = Folder::new();
    let unclear = |content: &[u8]| {
        let error = check(&folder.put("libtop.so", content), &[]).unwrap_err();
        assert!(matches!(error, Refused::Unclear { .. }), "{error}");
    };
    let whole = library(&[(DT_NEEDED, "libx.so"), (DT_AUDIT, "/y.so")]);
    check(&folder.put("libtop.so", &whole), &[]).unwrap();
    unclear(&whole[..whole.len() - 8]);
    unclear(&whole[..70]);
    unclear(b"\x7fELF\x07");
    let many: Vec<_> = (0..5000).map(|_| (DT_NEEDED, "x")).collect();
    unclear(&library(&many));
}

#[test]
fn what_is_installed_here_may_run() {
    for program in ["/bin/sh", "/usr/bin/env"] {
        check(Path::new(program), &[]).unwrap();
    }
    let own = super::super::find_library("libc.so.6", &[]);
    if let Some(own) = own {
        check(&own, &[]).unwrap();
    }
    assert!(matches!(check(Path::new("/"), &[]), Err(Refused::NotRegular(_))));
    assert!(check(Path::new("/dev/null"), &[]).is_err());
}
