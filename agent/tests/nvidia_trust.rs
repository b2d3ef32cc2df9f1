//! A vendor's library is loaded only where nobody but root could have put it or what it needs.
#![cfg(feature = "nvidia")]
// The state of a GPU is one long `json!`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod nvml_support;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use nvml_support::{Fake, h100};
use skip_test::skip;

const OTHER: u32 = 65534;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What the doctor prints of that library, on one line.
fn doctor(library: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command.args(["doctor", "--set", &format!("nvidia.library={}", library.display())]);
    for source in ["hailo", "ascend", "holders", "ioctl", "kmsg", "kubelet"] {
        command.args(["--set", &format!("{source}.enabled=false")]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whoever owns a directory can exchange what is in it between a check and the loading, whoever owns that.
#[test]
fn a_library_below_another_users_directory_is_not_loaded() {
    let fake = Fake::new(vec![h100(0)]);
    let outer = tempfile::tempdir().unwrap();
    let theirs = outer.path().join("theirs");
    let inner = theirs.join("lib");
    std::fs::create_dir_all(&inner).unwrap();
    for path in [outer.path(), &theirs, &inner] {
        mode(path, 0o755);
    }
    let library = inner.join("libnvidia-ml.so.1");
    std::fs::copy(fake.library(), &library).unwrap();
    let state = |of: &Path| of.with_file_name("libnvidia-ml.so.1.json");
    std::fs::copy(state(&fake.library()), state(&library)).unwrap();
    let calls = library.with_file_name("libnvidia-ml.so.1.json.calls");
    std::fs::write(&calls, "").unwrap();
    if chown(&theirs, Some(OTHER), None).is_err() {
        return skip("root", "needs to give a directory to another user");
    }
    let said = doctor(&library);
    assert_eq!(std::fs::read_to_string(&calls).unwrap(), "", "it was called: {said}");
    assert!(said.contains(&format!("belongs to user {OTHER}")), "{said}");
    chown(&theirs, Some(0), None).unwrap();
    let said = doctor(&library);
    assert_ne!(
        std::fs::read_to_string(&calls).unwrap(),
        "",
        "it is not loaded when all is well: {said}"
    );
}

#[test]
fn a_library_is_not_loaded_for_one_that_it_needs_and_others_can_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    mode(folder.path(), 0o755);
    let ran = path("ran");
    let needed = format!(
        "#include <fcntl.h>\n__attribute__((constructor)) static void f(void) {{ open(\"{}\", O_CREAT, 0600); }}\n\
         int needed(void) {{ return 0; }}\n",
        ran.display()
    );
    std::fs::write(path("needed.c"), needed).unwrap();
    std::fs::write(
        path("nvml.c"),
        "int needed(void);\nint nvmlInit_v2(void) { return needed() + 9; }\n",
    )
    .unwrap();
    let build = |name: &str, source: &str, more: &[&str]| {
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).args([path(name), path(source)]);
        cc.args(more).status().is_ok_and(|status| status.success())
    };
    let at = folder.path().display();
    let (directory, run_path) = (format!("-L{at}"), format!("-Wl,-rpath,{at}"));
    let is_built = build("libneeded.so", "needed.c", &[])
        && build("libnvidia-ml.so.1", "nvml.c", &[&directory, &run_path, "-lneeded"]);
    if !is_built {
        return skip("cc", "needs a C compiler");
    }
    mode(&path("libnvidia-ml.so.1"), 0o755);
    mode(&path("libneeded.so"), 0o777);
    let said = doctor(&path("libnvidia-ml.so.1"));
    assert!(!ran.exists(), "its code was run: {said}");
    assert!(
        said.contains("can be written by others") && said.contains("libneeded.so"),
        "{said}"
    );
    mode(&path("libneeded.so"), 0o755);
    let said = doctor(&path("libnvidia-ml.so.1"));
    assert!(ran.exists(), "it is not loaded when all is well: {said}");
}
