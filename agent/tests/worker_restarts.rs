//! Replacements of a worker that only a vendor's library other than NVML causes.
#![cfg(feature = "ascend")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod program_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use free_port::free_address;
use program_support::{Running, get, wait_for};

/// A host whose driver is the fake `libdcmi.so`.
fn host(root: &Path) {
    let library = root.join("usr/local/dcmi/libdcmi.so");
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    let tests = std::env::current_exe().unwrap();
    std::fs::copy(tests.parent().unwrap().join("libfake_dcmi.so"), &library).unwrap();
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/proc", root.join("proc")).unwrap();
}

fn script(root: &Path, text: &str) {
    std::fs::write(root.join("usr/local/dcmi/libdcmi.so.script"), text).unwrap();
}

#[test]
fn a_worker_of_dcmi_that_is_replaced_because_it_hung_is_counted() {
    let root = tempfile::tempdir().unwrap();
    host(root.path());
    script(root.path(), "cards 0:1 1:1\n");
    let address = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null());
    for set in [
        format!("host.root={}", root.path().display()),
        format!("http.listen={address}"),
        "otlp.enabled=false".to_owned(),
        "hailo.enabled=false".to_owned(),
        "nvidia.enabled=false".to_owned(),
        "kubelet.enabled=false".to_owned(),
        "ioctl.enabled=false".to_owned(),
        "ascend.backend=dcmi".to_owned(),
        "ascend.require_admin=false".to_owned(),
        "ascend.period=1s".to_owned(),
        "ascend.timeout=5s".to_owned(),
    ] {
        command.args(["--set", &set]);
    }
    let _agent = Running::start(command);
    let restarts = |reason: &str| {
        let text = get(address, "/metrics")?.body;
        let labels = format!("agent_reason=\"{reason}\",agent_sampler=\"ascend\"");
        let line = text
            .lines()
            .find(|line| line.starts_with("agent_worker_restarts_total{") && line.contains(&labels))?;
        line.rsplit(' ').next()?.parse::<u32>().ok()
    };
    wait_for("a count from 0", || (restarts("hung")? == 0).then_some(()));
    script(root.path(), "cards 0:1 1:1\nhang dcmi_get_device_voltage 1/0\n");
    wait_for("the restart", || (restarts("hung")? == 1).then_some(()));
    assert_eq!(restarts("deadline"), Some(0));
}
