//! The program on a host without accelerators: it shows the host itself, and that nothing else was found.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A host of which the kernel's files are known.
fn host() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "proc/stat",
            "cpu 100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\nbtime 1700000000\n",
        ),
        (
            "proc/meminfo",
            "MemTotal: 4194304 kB\nMemFree: 1 kB\nMemAvailable: 1048576 kB\n",
        ),
        ("proc/loadavg", "4.60 3.14 1.44 7/113 25796\n"),
        ("proc/uptime", "90061.00 181.71\n"),
        (
            "proc/pressure/memory",
            "some avg10=12.50 avg60=0.00 avg300=0.00 total=1500000\n",
        ),
        ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
        ("proc/diskstats", " 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n"),
        ("proc/1/comm", "init\n"),
        ("sys/class/net/lo/mtu", "65536\n"),
        ("sys/devices/system/cpu/online", "0-3\n"),
        ("etc/hostname", "board\n"),
        ("etc/os-release", "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n"),
    ] {
        let path = host.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    host
}

/// Ends with what the program wrote, or fails where it does not end.
fn ended(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.env_clear().stdin(Stdio::null()).arg("300");
    command.arg(env!("CARGO_BIN_EXE_agent")).args(arguments);
    command.args(["--set", &format!("host.root={}", root.display())]);
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(124), "it never ends");
    String::from_utf8(output.stdout).unwrap()
}

fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::remove_file(path).ok();
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RWXU).unwrap();
}

/// Nobody writes to these, and no memory holds the last.
#[test]
fn files_that_never_end_or_never_begin_do_not_keep_the_program_from_its_work() {
    let look = ["--stdout", "--once", "--format", "json"];
    for path in [
        "etc/hostname",
        "etc/machine-id",
        "etc/os-release",
        "proc/cgroups",
        "proc/1/stat",
        "proc/1/mountinfo",
        "proc/sys/kernel/osrelease",
        "sys/fs/cgroup/cgroup.procs",
        "sys/class/dmi/id/product_name",
    ] {
        let host = host();
        fifo(&host.path().join(path));
        assert!(ended(host.path(), &look).contains("system.memory.limit"), "{path}");
    }
    for path in ["etc/hostname", "etc/machine-id"] {
        let host = host();
        let file = std::fs::File::create(host.path().join(path)).unwrap();
        file.set_len(1 << 42).unwrap();
        assert!(ended(host.path(), &look).contains("system.memory.limit"), "{path}");
    }
}

fn output(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null()).args(arguments);
    command.args(["--set", &format!("host.root={}", root.display())]);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_look_has_the_host_s_values_and_what_is_asked_for_beside_them() {
    let host = host();
    let arguments = ["--stdout", "--once", "--format", "json", "--set", "host.disks=true"];
    let text = output(host.path(), &arguments);
    let points: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| {
        points
            .iter()
            .find(|point| point["name"] == name)
            .unwrap_or(&Value::Null)
    };
    assert_eq!(named("system.uptime")["value"], 90_061.0);
    assert_eq!(named("system.memory.limit")["value"], 4_i64 << 30);
    assert_eq!(named("system.cpu.logical.count")["value"], 4);
    assert_eq!(named("system.linux.pressure.time")["value"], 1.5);
    assert_eq!(named("system.disk.io_time")["attributes"]["system.device"], "sda");
    let info = &named("accel.host.info")["attributes"];
    assert_eq!(
        (&info["host.name"], &info["os.version"]),
        (&"board".into(), &"12".into())
    );
    assert_eq!(*named("system.network.io"), Value::Null);
}

#[test]
fn the_table_shows_the_host_and_still_what_was_not_found() {
    let host = host();
    let table = output(host.path(), &["--stdout", "--once", "--format", "table"]);
    let row = table
        .lines()
        .skip_while(|line| *line != "HOST")
        .nth(2)
        .unwrap_or_default();
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    // The CPU time of this host stands still.
    let expected = [
        "-",
        "4",
        "4.6",
        "3.1",
        "1.4",
        "3.0 / 4.0 GiB",
        "1 d 1 h",
        "-",
        "12.5 %",
        "-",
    ];
    assert_eq!(cells, expected, "{table}");
    assert!(table.contains("nvidia: "), "{table}");
}

#[test]
fn doctor_has_a_line_for_it() {
    let host = host();
    let text = output(host.path(), &["doctor"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = "ok host: reads CPU, load, memory, uptime of Linux 6.1.0-18-amd64";
    assert_eq!(text.matches(line).count(), 1, "{text}");
}
