//! What the kernel and the loader open by themselves when the tool is started: real programs and scripts, each with a file that
//! would leave a mark. While others can change that file, nothing is run.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod tool_support;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use skip_test::skip;
use tool_support::{calling, explained};

const OTHER: u32 = 12_345;

/// A folder with the tool, and what is opened with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        mode(folder.0.path(), 0o755);
        folder
    }

    /// One for what the compiler makes; none where there is no compiler.
    fn for_built() -> Option<Self> {
        let found = Command::new("cc").arg("--version").output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(Self::new());
        }
        skip("cc", "needs a C compiler");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The path from the root, which is where children work.
    fn relative(&self, name: &str) -> String {
        self.text(name).trim_start_matches('/').to_owned()
    }

    fn put(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        let new = self.path("new");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&new, content).unwrap();
        mode(&new, 0o755);
        // A file that another thread's child still holds open for writing cannot be started.
        let copied = Command::new("cp").arg("-p").args([&new, &path]).status().unwrap();
        assert!(copied.success());
        path
    }

    fn tool(&self, first_line: &str) {
        self.put("npu-smi", &format!("{first_line}\n"));
    }

    /// A script that leaves the mark.
    fn marking(&self, name: &str) -> PathBuf {
        self.put(name, &format!("#!/bin/sh\necho ran > {}\n", self.text("ran")))
    }

    /// What the compiler makes of `source`.
    fn built(&self, name: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let file = self.put(&format!("{}.c", name.replace('/', "-")), source);
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut command = Command::new("cc");
        command.args(["-fPIC", "-o"]).args([&path, &file]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }

    /// A library that leaves the mark in the tool's process.
    fn library(&self, name: &str, more: &[&str]) -> PathBuf {
        let source = format!(
            "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n#include <string.h>\n\
             __attribute__((constructor)) static void mark(void) {{\n\
             char name[32] = \"\"; FILE *file = fopen(\"/proc/self/comm\", \"r\");\n\
             if (file && fgets(name, sizeof name, file) && !strncmp(name, \"MARKED\", sizeof \"MARKED\" - 1)) open(\"{}\", O_CREAT, 0600);\n\
             if (file) fclose(file); }}\n\
             unsigned la_version(unsigned version) {{ return version; }}\nint inner(void) {{ return 0; }}\n",
            self.text("ran")
        );
        let marked = if self.path("marked").exists() {
            "true"
        } else {
            "npu-smi"
        };
        self.built(name, &source.replace("MARKED", marked), &[&["-shared"], more].concat())
    }

    /// The tool, linked with these.
    fn program(&self, arguments: &[&str]) {
        let arguments = [&["-Wl,--no-as-needed"], arguments].concat();
        self.built("npu-smi", "int main(void) { return 0; }\n", &arguments);
    }

    /// Whether the mark is left, and what the doctor says.
    fn runs(&self, within: &str) -> (bool, String) {
        std::fs::remove_file(self.path("ran")).ok();
        // Other agents of this machine are not asked.
        let status = format!("status.directory={}", self.text("run"));
        let agent = calling(&self.path("npu-smi"), &["doctor", "--set", &status]);
        if within.is_empty() {
            let said = explained(agent);
            return (self.path("ran").exists(), said);
        }
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
        command.arg(format!("{within}; exec \"$@\"")).arg("sh");
        command.arg(agent.get_program()).args(agent.get_args());
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("ACCELSCOPE__NVIDIA__ENABLED", "false");
        let said = explained(command);
        (self.path("ran").exists(), said)
    }

    /// Asserts that the tool is not run while others can write to `file`, and that it is otherwise, and opens the file if `opens`.
    #[track_caller]
    fn is_as_good_as(&self, file: &Path, opens: bool, within: &str) {
        mode(file, 0o757);
        let (ran, said) = self.runs(within);
        assert!(!ran, "{}: its code was run: {said}", file.display());
        let refusal = format!("{} (mode 0757) can be written by others", file.display());
        assert!(said.contains(&refusal), "{}: {said}", file.display());
        mode(file, 0o755);
        let (ran, said) = self.runs(within);
        assert!(!said.contains("can be written"), "{said}");
        assert!(
            ran || !opens,
            "{}: it is not opened when all is well: {said}",
            file.display()
        );
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_library_that_is_named_by_a_path_is_checked_whatever_the_path_begins_with() {
    for name in ["$ORIGIN/lib/libmark.so", "${ORIGIN}/lib/libmark.so", "RELATIVE"] {
        let Some(folder) = Folder::for_built() else {
            return;
        };
        let relative = folder.relative("lib/libmark.so");
        let soname = format!("-Wl,-soname,{}", if name == "RELATIVE" { &relative } else { name });
        let library = folder.library("lib/libmark.so", &[&soname]);
        folder.program(&[library.to_str().unwrap()]);
        folder.is_as_good_as(&library, true, "");
    }
}

#[test]
fn libraries_that_look_over_others_or_stand_for_them_are_checked() {
    for option in ["--audit", "--depaudit", "-F", "-f"] {
        let Some(folder) = Folder::for_built() else {
            return;
        };
        let library = folder.library("lib/libmark.so", &[]);
        let path = library.to_str().unwrap();
        if option.starts_with("--") {
            folder.program(&[&format!("-Wl,{option}=/nonexistent.so:{path}")]);
        } else {
            let front = folder.built(
                "libfront.so",
                "int inner(void);\n",
                &["-shared", &format!("-Wl,{option},$ORIGIN/lib/libmark.so")],
            );
            folder.program(&[front.to_str().unwrap()]);
        }
        folder.is_as_good_as(&library, true, "");
    }
}

#[test]
fn a_library_is_looked_for_where_whoever_needs_its_user_has_it_looked_for() {
    let Some(folder) = Folder::for_built() else {
        return;
    };
    let deep = folder.library("lib/libdeep.so", &[]);
    let libraries = format!("-L{}", folder.text("lib"));
    folder.built(
        "lib/libmiddle.so",
        "int inner(void);\nint middle(void) { return inner(); }\n",
        &["-shared", &libraries, "-ldeep"],
    );
    folder.program(&[
        "-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib",
        &format!("-Wl,-rpath-link,{}", folder.text("lib")),
        &libraries,
        "-lmiddle",
    ]);
    folder.is_as_good_as(&deep, true, "");
}

#[test]
fn what_is_for_some_processors_alone_is_checked() {
    // What the loader takes depends on its version and the processor.
    for level in ["tls", "glibc-hwcaps/x86-64-v2"] {
        let Some(folder) = Folder::for_built() else {
            return;
        };
        folder.library("lib/libmark.so", &["-Wl,-soname,libmark.so"]);
        folder.program(&["-Wl,-rpath,$ORIGIN/lib", &format!("-L{}", folder.text("lib")), "-lmark"]);
        let special = folder.library(&format!("lib/{level}/libmark.so"), &["-Wl,-soname,libmark.so"]);
        folder.is_as_good_as(&special, true, "");
        // A directory in which another may come to be.
        std::fs::remove_file(&special).unwrap();
        folder.is_as_good_as(special.parent().unwrap(), true, "");
    }
}

#[test]
fn a_directory_into_which_everybody_may_put_a_library_is_none_to_look_into() {
    let Some(folder) = Folder::for_built() else {
        return;
    };
    std::fs::create_dir(folder.path("shared")).unwrap();
    mode(&folder.path("shared"), 0o1777);
    folder.program(&["-Wl,-rpath,$ORIGIN/shared"]);
    let (_, said) = folder.runs("");
    let refusal = format!("{} (mode 1777) can be written by others", folder.text("shared"));
    assert!(said.contains(&refusal), "{said}");
}

#[test]
fn what_the_loaders_own_files_name_is_checked() {
    let can = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        skip("namespaces", "needs root and unshare(1)");
        return;
    }
    let Some(folder) = Folder::for_built() else {
        return;
    };
    folder.program(&[]);
    let library = folder.library("lib/libmark.so", &[]);
    let list = folder.put("etc/ld.so.preload", &format!("# a comment\n{}\n", library.display()));
    let cache = folder.path("etc/ld.so.cache");
    if std::fs::copy("/etc/ld.so.cache", &cache).is_err() {
        skip("ldconfig", "needs a cache of the loader");
        return;
    }
    let etc = format!("mount --bind {} /etc", folder.text("etc"));
    folder.is_as_good_as(&library, true, &etc);
    for (file, name) in [(list, "/etc/ld.so.preload"), (cache, "/etc/ld.so.cache")] {
        mode(&file, 0o646);
        let (ran, said) = folder.runs(&etc);
        let refusal = format!("{name} (mode 0646) can be written by others");
        assert!(!ran && said.contains(&refusal), "{said}");
        mode(&file, 0o644);
        assert!(folder.runs(&etc).0, "it is not run when all is well");
    }
}

#[test]
fn what_a_script_has_its_interpreter_open_is_checked() {
    let folder = Folder::new();
    let marking = folder.marking("bin/marking");
    let (bin, path) = (folder.text("bin"), marking.display());
    for line in [
        format!("#!/bin/sh {path}"),
        format!("#!{}", folder.relative("bin/marking")),
        format!("#!/usr/bin/env -S A=1 PATH={bin}:/usr/bin:/bin marking"),
        format!("#!/usr/bin/env -S --chdir={bin} ./marking"),
        format!("#!/usr/bin/env -S -C{bin} -u A ./marking"),
        format!("#!/usr/bin/env -S sh -e {path}"),
    ] {
        folder.tool(&line);
        folder.is_as_good_as(&marking, true, "");
    }
    // A directory of such a PATH is one in which anybody may put the program.
    folder.tool(&format!("#!/usr/bin/env -S PATH={bin}:/bin marking"));
    folder.is_as_good_as(&folder.path("bin"), true, "");
}

#[test]
fn a_script_that_names_what_cannot_be_followed_is_refused_with_the_reason() {
    let folder = Folder::new();
    for line in [
        "#!/usr/bin/env -S sh -c 'echo x'",
        "#!/usr/bin/env -S ${SHELL} -e",
        "#!/usr/bin/env -S s\\c",
    ] {
        folder.tool(line);
        let (_, said) = folder.runs("");
        assert!(said.contains("write the program's path there"), "{line}: {said}");
    }
}

#[test]
fn a_variable_of_the_loader_in_a_script_names_a_library() {
    let Some(folder) = Folder::for_built() else {
        return;
    };
    folder.put("marked", "");
    let library = folder.library("lib/libmark.so", &[]);
    folder.tool(&format!("#!/usr/bin/env -S LD_PRELOAD={} true", library.display()));
    folder.is_as_good_as(&library, true, "");
    folder.tool(&format!(
        "#!/usr/bin/env -S LD_LIBRARY_PATH={} LD_PRELOAD=libmark.so true",
        folder.text("lib")
    ));
    folder.is_as_good_as(&library, true, "");
}

#[test]
fn what_root_has_registered_with_the_kernel_for_such_files_is_checked() {
    let folder = Folder::new();
    let handler = folder.marking("handler");
    let register = format!(
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; \
         echo ':accelscope-test:M::ACCELSCOPE-TEST::{}:' > /proc/sys/fs/binfmt_misc/register",
        handler.display()
    );
    let can = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", &register])
        .output()
        .unwrap();
    if !can.status.success() {
        skip("binfmt", "needs binfmt_misc of a user namespace (Linux 6.7)");
        return;
    }
    folder.tool("ACCELSCOPE-TEST");
    folder.is_as_good_as(&handler, true, &register);
}

#[test]
fn a_program_that_does_not_show_what_it_needs_is_not_run() {
    let Some(folder) = Folder::for_built() else {
        return;
    };
    folder.program(&[]);
    let program = folder.path("npu-smi");
    let content = std::fs::read(&program).unwrap();
    // All after the headers is gone.
    std::fs::write(folder.path("new"), &content[..1024]).unwrap();
    mode(&folder.path("new"), 0o755);
    std::fs::rename(folder.path("new"), &program).unwrap();
    let (_, said) = folder.runs("");
    assert!(
        said.contains("cannot be read from it") && said.contains("install it again"),
        "{said}"
    );
}

#[test]
fn a_library_of_another_user_is_refused_though_it_is_needed_by_its_path() {
    let Some(folder) = Folder::for_built() else {
        return;
    };
    let library = folder.library("lib/libmark.so", &["-Wl,-soname,$ORIGIN/lib/libmark.so"]);
    folder.program(&[library.to_str().unwrap()]);
    if chown(&library, Some(OTHER), None).is_err() {
        skip("root", "needs to give a file to another user");
        return;
    }
    let (ran, said) = folder.runs("");
    assert!(!ran && said.contains(&format!("belongs to user {OTHER}")), "{said}");
}
