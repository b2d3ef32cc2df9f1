//! NVML returns ids of its caller's PID namespace. Outside the node's namespace, the agent reports that and attributes
//! nothing to other processes. Needs root and unshare(1).
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nvml_support;

use std::process::Command;

use nvml_support::{Fake, GIB, h100};
use serde_json::{Value, json};

fn can_run(test: &str) -> bool {
    let can = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "--mount-proc", "true"])
        .status();
    if can.is_ok_and(|status| status.success()) {
        return true;
    }
    skip_test::skip("namespaces", &format!("{test}: no PID namespace can be made"));
    false
}

/// Output and log of the agent, started by `unshare`, while the library lists process 1.
fn run(unshare: &[&str]) -> (Vec<Value>, String) {
    let mut gpu = h100(0);
    gpu["compute"] = json!([{"pid": 1, "memory": GIB}]);
    let fake = Fake::new(vec![gpu]);
    let output = Command::new("unshare")
        .args(unshare)
        .args(["--pid", "--fork", "--kill-child", env!("CARGO_BIN_EXE_agent")])
        .args(["--stdout", "--format", "json", "--once"])
        .env("ACCELSCOPE__NVIDIA__LIBRARY", fake.library())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    (
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        said,
    )
}

fn one<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let found: Vec<_> = lines.iter().filter(|line| line["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name}: {found:?}");
    found[0]
}

#[test]
fn an_id_of_another_namespace_charges_no_process_of_this_one() {
    if !can_run("an_id_of_another_namespace_charges_no_process_of_this_one") {
        return;
    }
    // Its /proc is still that of the outer namespace, where process 1 is a different one.
    let (lines, said) = run(&[]);
    let memory = one(&lines, "accel.process.memory.usage");
    assert_eq!(memory["value"], GIB);
    assert_eq!(memory["attributes"]["process.pid"], 1);
    assert_eq!(memory["attributes"].get("process.executable.name"), None, "{memory}");
    assert_eq!(one(&lines, "nvidia.processes")["value"], 1);
    assert_eq!(one(&lines, "nvidia.processes.hidden")["value"], 1);
    assert_eq!(one(&lines, "nvidia.host_pid")["value"], 0);
    assert!(said.contains("hostPID: true"), "{said}");
}

#[test]
fn in_a_namespace_of_its_own_it_knows_those_beside_it_and_says_what_it_lacks() {
    if !can_run("in_a_namespace_of_its_own_it_knows_those_beside_it_and_says_what_it_lacks") {
        return;
    }
    let (lines, said) = run(&["--mount", "--mount-proc"]);
    let memory = one(&lines, "accel.process.memory.usage");
    assert_eq!(memory["attributes"]["process.pid"], 1);
    assert_eq!(
        memory["attributes"]["process.executable.name"], "agent",
        "it is process 1 itself"
    );
    assert_eq!(one(&lines, "nvidia.processes.hidden")["value"], 0);
    assert_eq!(one(&lines, "nvidia.host_pid")["value"], 0);
    assert!(said.contains("hostPID: true"), "{said}");
}
