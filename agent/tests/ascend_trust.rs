//! What the program runs and where it looks for it: directories of groups, of access control lists and of FUSE.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod acl_support;
mod fuse_support;
mod program_support;
mod tool_support;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fuse_support::{Fuse, Served};
use program_support::{Running, wait_for};
use skip_test::skip;
use tool_support::{Tool, calling, explained};

/// A group that this machine does not have.
const GROUP: u32 = 1_234_567;
const OTHER: u32 = 12_345;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The log of one look.
fn log(tool: &Path) -> String {
    let output = calling(tool, &["--stdout", "--once", "--format", "json"])
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

/// A host's root with `/usr/local` as Debian makes it, in which the tool is.
struct Debian {
    root: tempfile::TempDir,
    /// Says whether it was run.
    tool: Tool,
}

impl Debian {
    /// `None` where nothing can be given to a group.
    fn new() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        mode(root.path(), 0o755);
        let debian = Self {
            root,
            tool: Tool::script("echo ran >> HERE/ran"),
        };
        for (path, mode_of) in [
            ("etc", 0o755),
            ("usr", 0o755),
            ("usr/local", 0o2775),
            ("usr/local/sbin", 0o2775),
        ] {
            std::fs::create_dir(debian.path(path)).unwrap();
            if chown(
                debian.path(path),
                None,
                Some(if path.contains("local") { GROUP } else { 0 }),
            )
            .is_err()
            {
                skip("root", "needs to give a directory to another group");
                return None;
            }
            mode(&debian.path(path), mode_of);
        }
        std::fs::copy(debian.tool.path(), debian.npu_smi()).unwrap();
        debian.accounts("staff", "", "");
        Some(debian)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn npu_smi(&self) -> PathBuf {
        self.path("usr/local/sbin/npu-smi")
    }

    /// The group of `/usr/local`, with these members, and the first group of these users.
    fn accounts(&self, group: &str, members: &str, first: &str) {
        let groups = format!("root:x:0:\n{group}:x:{GROUP}:{members}\n");
        std::fs::write(self.path("etc/group"), groups).unwrap();
        let mut users = "root:x:0:0::/root:/bin/sh\nedge:x:4711:4711::/home/edge:/bin/sh\n".to_owned();
        if !first.is_empty() {
            users.push_str(&format!("{first}:x:4712:{GROUP}::/home/{first}:/bin/sh\n"));
        }
        std::fs::write(self.path("etc/passwd"), users).unwrap();
    }

    /// Whether it is run.
    fn runs(&self) -> (bool, String) {
        std::fs::remove_file(self.tool.folder().join("ran")).ok();
        let said = explained(calling(&self.npu_smi(), &["doctor"]));
        (!self.tool.text("ran").is_empty(), said)
    }
}

#[test]
fn debians_usr_local_is_roots_while_nobody_is_in_staff() {
    let Some(debian) = Debian::new() else { return };
    for (group, members, first, why) in [
        ("staff", "root,edge", "", "group staff, in which edge is"),
        ("staff", "of-a-directory", "", "group staff, in which of-a-directory is"),
        ("staff", "", "bob", "group staff, in which bob is"),
        ("mail", "", "", "group mail"),
        ("edge", "edge", "", "group edge"),
    ] {
        debian.accounts(group, members, first);
        let local = debian.path("usr/local").display().to_string();
        let (has_run, said) = debian.runs();
        let log = log(&debian.npu_smi());
        assert!(!has_run, "{why}: {said}");
        for said in [said, log] {
            assert!(said.contains(&format!("{local} (mode 2775, {why})")), "{why}: {said}");
            assert!(said.contains(&format!("`chmod go-w {local}`")), "{why}: {said}");
        }
    }
    debian.accounts("staff", "root", "");
    let (has_run, said) = debian.runs();
    assert!(has_run, "{said}");
    std::fs::write(debian.path("etc/nsswitch.conf"), "group: files sss\n").unwrap();
    let (has_run, said) = debian.runs();
    assert!(!has_run && said.contains("whose members sss may have"), "{said}");
    std::fs::write(debian.path("etc/nsswitch.conf"), "group: files systemd\n").unwrap();
    // A file of accounts that another user has written says nothing.
    chown(debian.path("etc/group"), Some(OTHER), None).unwrap();
    let (has_run, said) = debian.runs();
    assert!(!has_run && said.contains("whose members are not known"), "{said}");
}

#[test]
fn a_library_directory_that_is_left_out_is_named_once_for_each_state() {
    let tool = Tool::script("echo \"$LD_LIBRARY_PATH\" >> HERE/ran");
    let shared = tempfile::tempdir().unwrap();
    let libraries = [shared.path().join("one"), shared.path().join("two")];
    for path in &libraries {
        std::fs::create_dir(path).unwrap();
    }
    mode(shared.path(), 0o777);
    let value = format!("{}:{}", libraries[0].display(), libraries[1].display());
    let said = {
        let mut doctor = tool.agent(&["doctor"]);
        doctor.env("LD_LIBRARY_PATH", &value);
        explained(doctor)
    };
    let fault = format!("{} (mode 0777) can be written by others", shared.path().display());
    assert!(
        said.contains("no library or program is looked for in") && said.contains(&fault),
        "{said}"
    );
    assert!(
        libraries.iter().all(|path| said.contains(path.to_str().unwrap())),
        "{said}"
    );

    std::fs::remove_file(tool.folder().join("ran")).unwrap();
    let errors = shared.path().join("errors");
    let mut command = tool.agent(&["--stdout", "--format", "json", "--set", "ascend.period=1s"]);
    command
        .env("LD_LIBRARY_PATH", &value)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors).unwrap());
    let _agent = Running::start(command);
    let calls = |more: usize| {
        let before = tool.text("ran").lines().count();
        wait_for("calls of the tool", || {
            (tool.text("ran").lines().count() >= before + more).then_some(())
        });
    };
    let lines = |text: &str| {
        let log = std::fs::read_to_string(&errors).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    };
    let (refused, again) = ("no library or program is looked for", "looked into again");
    calls(3);
    assert!(!tool.text("ran").contains("one"), "{}", tool.text("ran"));
    assert_eq!((lines(refused), lines(again)), (1, 0));
    mode(shared.path(), 0o755);
    calls(3);
    assert!(tool.text("ran").contains("one"), "{}", tool.text("ran"));
    assert_eq!((lines(refused), lines(again)), (1, 1));
    mode(shared.path(), 0o777);
    calls(3);
    assert_eq!((lines(refused), lines(again)), (2, 1), "another state");
}

#[test]
fn who_is_on_an_access_control_list_may_write_though_the_group_is_roots() {
    let tool = Tool::script("echo ran > HERE/ran");
    mode(tool.folder(), 0o755);
    if !acl_support::let_write(tool.folder(), OTHER) {
        return;
    }
    let said = tool.doctor();
    assert_eq!(tool.text("ran"), "", "{said}");
    assert!(
        said.contains(&format!("an access control list with user {OTHER}")),
        "{said}"
    );
    assert!(said.contains("`setfacl -b"), "{said}");
    rustix::fs::removexattr(tool.folder(), acl_support::NAME).unwrap();
    mode(tool.folder(), 0o755);
    tool.doctor();
    assert_eq!(tool.text("ran"), "ran\n", "it is not run when all is well");
}

#[test]
fn a_fuse_file_system_is_whose_program_serves_it() {
    let ran = tempfile::tempdir().unwrap();
    let mark = ran.path().join("ran");
    for (user, is_run) in [(OTHER, false), (0, true)] {
        let at = tempfile::tempdir().unwrap();
        mode(at.path(), 0o755);
        let served = Served {
            name: "npu-smi".to_owned(),
            content: format!("#!/bin/sh\necho ran > {}\n", mark.display()).into_bytes(),
            mode: 0o755,
            owner: 0,
        };
        let Some(_fuse) = Fuse::with(at.path(), user, served) else {
            return;
        };
        let path = at.path().join("npu-smi");
        let said = explained(calling(&path, &["doctor"]));
        assert_eq!(mark.exists(), is_run, "{said}");
        let refusal = format!("is in a FUSE file system of user {user}");
        assert_eq!(said.contains(&refusal), !is_run, "{said}");
    }
}

#[test]
fn a_directory_that_others_can_change_is_in_no_childs_path() {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o755);
    let at = |name: &str| folder.path().join(name);
    for (name, says) in [("open", "evil"), ("closed", "good")] {
        std::fs::create_dir(at(name)).unwrap();
        let program = at(name).join("helper-of-the-tool");
        std::fs::write(&program, format!("#!/bin/sh\necho {says} >> {}\n", at("ran").display())).unwrap();
        mode(&program, 0o755);
    }
    mode(&at("closed"), 0o755);
    mode(&at("open"), 0o777);
    let tool = Tool::script("echo \"$PATH\" > HERE/path; helper-of-the-tool");
    let env = Tool::file(b"#!/usr/bin/env helper-of-the-tool\n", 0o755);
    // The first and the second directory of the path.
    let script = format!(
        "mount --bind {} /usr/local/sbin && mount --bind {} /usr/local/bin && exec \"$@\"",
        at("open").display(),
        at("closed").display()
    );
    let within = |tool: &Tool| {
        let agent = tool.agent(&["doctor"]);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .arg(agent.get_program());
        command
            .args(agent.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("ACCELSCOPE__NVIDIA__ENABLED", "false");
        command
    };
    let can = Command::new("unshare").args(["--mount", "true"]).status();
    if !can.is_ok_and(|status| status.success()) || !Path::new("/usr/local/sbin").is_dir() {
        skip("namespaces", "needs root, unshare(1) and /usr/local/sbin");
        return;
    }
    for tool in [&tool, &env] {
        std::fs::remove_file(at("ran")).ok();
        let said = explained(within(tool));
        let ran = std::fs::read_to_string(at("ran")).unwrap_or_default();
        assert_eq!(ran, "good\n", "{said}");
        assert!(said.contains("looked for in /usr/local/sbin"), "{said}");
    }
    let path = tool.text("path");
    assert!(
        path.starts_with("/usr/local/bin:") && !path.contains("/usr/local/sbin"),
        "{path}"
    );
}
