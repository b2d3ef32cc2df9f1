//! Calls are counted where the kernel is as Debian's with `kernel.perf_event_paranoid=3`: who lacks CAP_SYS_ADMIN may open no
//! event of perf, and raw tracepoints are all that is left.
#![cfg(feature = "ioctl")]
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::process::{Command, Stdio};

use serde_json::Value;
use skip_test::skip;

/// Denies perf_event_open(2) with EACCES (Debian's patch `security-perf-allow-further-restriction-of-perf_event_open`), takes
/// CAP_SYS_ADMIN away, and becomes the command.
const DENY: &str = r#"
import ctypes, os, struct, sys
number = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 13), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
program = Program(4, ctypes.addressof(code))
if libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp("setpriv", ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"] + sys.argv[1:])
"#;

/// One look of the agent there, with a device that can be watched everywhere.
fn look(denied: bool) -> Option<(Vec<Value>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let paranoid = folder.path().join("paranoid");
    std::fs::write(&paranoid, "3\n").unwrap();
    let mount = format!(
        "mount --bind {} /proc/sys/kernel/perf_event_paranoid && exec \"$@\"",
        paranoid.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]).arg(mount).arg("sh");
    if denied {
        command.args(["python3", "-c", DENY]);
    }
    command.arg(env!("CARGO_BIN_EXE_agent"));
    command.args(["--stdout", "--once", "--format", "json"]);
    command.args(["--set", "ioctl.extra_devices=/dev/full=other"]);
    for source in ["hailo", "ascend", "holders", "kmsg", "kubelet", "nvidia"] {
        command.args(["--set", &format!("{source}.enabled=false")]);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let points: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_started = points.iter().any(|point| point["name"] == "agent.ioctl.devices");
    if !is_started {
        skip(
            "ebpf",
            &format!("needs root, unshare(1), setpriv(1) and python3: {log}"),
        );
        return None;
    }
    Some((points, log))
}

/// By what the calls of the device are seen.
fn hook(points: &[Value]) -> &str {
    let of = |point: &&Value| point["name"] == "agent.ioctl.devices" && point["value"] != 0;
    let point = points.iter().find(of).unwrap();
    point["attributes"]["agent.ioctl.hook"].as_str().unwrap()
}

#[test]
fn raw_tracepoints_count_calls_where_perf_event_paranoid_keeps_the_others_away() {
    let Some((points, log)) = look(false) else { return };
    if hook(&points) == "scan" {
        return skip("ebpf", &format!("no calls are counted here: {log}"));
    }
    let Some((points, log)) = look(true) else { return };
    assert_eq!(hook(&points), "raw_tracepoint", "{log}");
}
