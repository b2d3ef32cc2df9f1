//! The program with a tool that cannot start, and with the ids of `npu-smi info -m`.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod tool_support;

use std::path::Path;
use std::process::Stdio;

use program_support::{Running, wait_for};
use serde_json::Value;
use tool_support::{Tool, explained};

/// The log of one look.
fn log(tool: &Tool) -> String {
    let output = tool.run(&["--stdout", "--once", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn points(tool: &Tool) -> Vec<Value> {
    let output = tool.run(&["--stdout", "--once", "--format", "json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn both_have(tool: &Tool, line: &str, remedy: &str) {
    for (place, text) in [("doctor", tool.doctor()), ("the log", log(tool))] {
        assert!(text.contains(line), "{place} does not quote {line:?}: {text}");
        assert!(text.contains(remedy), "{place} lacks {remedy:?}: {text}");
    }
}

#[test]
fn what_keeps_the_tool_from_starting_is_quoted_with_its_remedy() {
    let driver = "mount the host's /usr/local/Ascend/driver and /usr/local/dcmi";
    let cases = [
        (
            "npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file or \
             directory",
            127,
            driver,
        ),
        (
            "Error loading shared library libdrvdsmi_host.so: No such file or directory (needed by /usr/local/sbin/npu-smi)",
            127,
            driver,
        ),
        (
            "npu-smi: /lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by npu-smi)",
            1,
            "image whose glibc",
        ),
        (
            "npu-smi: symbol lookup error: npu-smi: undefined symbol: dcmi_get_x, version DCMI_1",
            127,
            "of the same driver package",
        ),
        (
            "nsenter: reassociate to namespace 'ns/mnt' failed: Operation not permitted",
            1,
            "hostPID: true",
        ),
        (
            "nsenter: cannot open /proc/1/ns/mnt: Permission denied",
            1,
            "privileged",
        ),
        (
            "nsenter: failed to execute npu-smi: No such file or directory",
            127,
            "by its full path",
        ),
        (
            "/opt/tool: 3: exec: /usr/local/sbin/npu-smi: Permission denied",
            126,
            "chmod a+rx",
        ),
        (
            "/opt/tool: 3: exec: /usr/local/sbin/npu-smi: Exec format error",
            126,
            "the host's own npu-smi",
        ),
        (
            "some new complaint of a later version",
            5,
            "run `npu-smi info` yourself",
        ),
        (
            "dlopen failed: libdrvdsmi_host.so: cannot open shared object file: No such file or directory",
            1,
            driver,
        ),
        (
            "Error: unable to open shared object /usr/local/dcmi/libdcmi.so",
            255,
            driver,
        ),
        (
            "/usr/local/dcmi/libdcmi.so: failed to map segment from shared object",
            1,
            "without noexec",
        ),
        (
            "Inconsistency detected by ld.so: dl-version.c: 205: _dl_check_map_versions: Assertion needed != NULL failed!",
            127,
            "run `npu-smi info` yourself",
        ),
        ("FATAL: kernel too old", 127, "run `npu-smi info` yourself"),
        (
            "bash: /usr/local/sbin/npu-smi: Argument list too long",
            126,
            "run `npu-smi info` yourself",
        ),
    ];
    for (line, status, remedy) in cases {
        for stream in ["1", "2"] {
            let tool = Tool::script(&format!("cat >&{stream} <<'END'\n{line}\nEND\nexit {status}"));
            both_have(&tool, line, remedy);
        }
    }
    for (status, remedy) in [(126, "chmod a+rx"), (127, "by its full path")] {
        let tool = Tool::script(&format!("exit {status}"));
        both_have(&tool, &format!("exit status: {status}"), remedy);
    }
    let used = "dcmi model initialized failed, because the device is used. ret is -8020";
    let tool = Tool::script(&format!(
        "echo 'DrvMngGetConsoleLogLevel failed. (ret=4)'; echo '{used}'; exit 172"
    ));
    both_have(&tool, used, "run the agent's container privileged");
}

#[test]
fn a_file_that_the_kernel_does_not_start_is_named_with_the_reason() {
    let damaged = Tool::file(b"\x7fELF\x02\x01\x01 and no more", 0o755);
    both_have(&damaged, "Invalid ELF header", "install it again");
    // The head of an executable (`Elf64_Ehdr`, elf(5)) for a machine that nobody has.
    let head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xfe\xff\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\0\x38\0\0\0\x40\0\0\0\0\0";
    let foreign = Tool::file(head, 0o755);
    both_have(&foreign, "Exec format error", "the host's own npu-smi");
    let plain = Tool::file(b"#!/bin/sh\n", 0o644);
    both_have(&plain, "Permission denied", "chmod a+rx");
    let elsewhere = Tool::file(b"#!/nonexistent/interpreter\n", 0o755);
    both_have(&elsewhere, "No such file or directory", "an image with glibc");
}

#[test]
fn what_is_quoted_is_short_and_moves_no_cursor() {
    let tool = Tool::script(
        "printf 'npu-smi: \\033[2J\\033]0;x\\007 not found %s\\n' \"$(head -c 100000 /dev/zero | tr '\\0' x)\" >&2; exit 127",
    );
    let text = tool.doctor();
    assert!(
        text.contains("npu-smi: \\u{1b}[2J\\u{1b}]0;x\\u{7} not found xxx"),
        "{text}"
    );
    assert!(text.len() < 20_000 && !text.contains('\u{1b}'), "{} bytes", text.len());
    let log = log(&tool);
    assert!(
        log.len() < 5_000 && !log.trim_end().chars().any(|c| c.is_control() && c != '\n'),
        "{log}"
    );
}

#[test]
fn a_tool_that_hangs_is_quoted_with_what_it_printed_last() {
    let tool = Tool::script("echo 'waiting for chip 3' >&2; exec sleep 1000");
    // Longer where the machine is too slow for the tool to have printed it.
    for seconds in [2, 10, 60] {
        let text = explained(tool.agent(&["doctor", "--set", &format!("ascend.timeout={seconds}s")]));
        assert!(text.contains(&format!("did not end within {seconds}.0 s")), "{text}");
        if text.contains("waiting for chip 3") {
            return;
        }
    }
    panic!("what it printed is not quoted");
}

/// A tool that prints a table of that family, and `mapping` for `info -m`.
fn with_mapping(family: fake_npu_smi::Family, mapping: &str) -> Tool {
    let options = fake_npu_smi::Options {
        family,
        ..fake_npu_smi::Options::default()
    };
    let table = fake_npu_smi::table(&options, 0);
    let body = format!(
        "case \"$*\" in\ninfo) cat <<'END'\n{table}\nEND\n;;\n'info -m') cat <<'END'\n{mapping}\nEND\n;;\n*) exit 1;;\nesac"
    );
    Tool::script(&body)
}

#[test]
fn the_physical_ids_come_from_the_mapping_where_the_table_has_none() {
    let ids = |tool: &Tool| -> Vec<Value> {
        let points = points(tool);
        let info = points.iter().filter(|point| point["name"] == "ascend.device.info");
        info.map(|point| point["attributes"]["ascend.physical.id"].clone())
            .collect()
    };
    let both = "\tNPU ID   Chip ID   Chip Logic ID   Chip Phy-ID   Chip Name\n\t0   0   0   6   Ascend910\n\t0   1   -   -   Mcu\n\
                \t1   0   1   4   Ascend910\n";
    let newest = "NPU ID   Slot ID   Chip ID   Chip Phy-ID   Chip Name\n0   0   0   2   xxx\n1   1   0   3   xxx\n";
    for family in [
        fake_npu_smi::Family::Hbm,
        fake_npu_smi::Family::V26,
        fake_npu_smi::Family::Hbm93,
    ] {
        assert_eq!(ids(&with_mapping(family, both)), [6, 4], "{family:?}");
    }
    assert_eq!(ids(&with_mapping(fake_npu_smi::Family::A5, newest)), [2, 3]);
    let nothing = "Error parameter of -m\n";
    assert_eq!(
        ids(&with_mapping(fake_npu_smi::Family::Hbm, nothing)),
        [Value::Null, Value::Null]
    );
    assert_eq!(
        ids(&with_mapping(fake_npu_smi::Family::A3, nothing)),
        [0, 1, 2, 3],
        "the table's own"
    );
}

#[test]
fn the_physical_ids_are_asked_for_again_where_the_first_answer_may_not_last() {
    let both = "NPU ID Chip ID Chip Logic ID Chip Phy-ID Chip Name\n0 0 0 6 Ascend910\n1 0 1 4 Ascend910";
    let transient = [
        "echo 'Failed to execute npu-smi info -m. ret is -8012'; exit 180",
        "echo 'dcmi module initialize failed. ret is -8005' >&2; exit 187",
        "echo 'npu-smi: error while loading shared libraries: libdcmi.so: cannot allocate memory' >&2; exit 127",
        "exit 186",
        "kill -9 $$",
        "head -n 2 both",
        "sed '3s/1 4/- -/' both",
    ];
    let lasting = [
        "echo 'Error parameter of -m'",
        "echo 'This device does not support querying.'",
    ];
    let start = |first: &&'static str| {
        let table = fake_npu_smi::table(&fake_npu_smi::Options::default(), 0);
        let tool = Tool::script(&format!(
            "cd \"$(dirname \"$0\")\"\ncase \"$*\" in\ninfo) cat table; echo >>called;;\n'info -m') echo >>asked\n[ \"$(wc -l <asked)\" -gt 1 ] \
             && exec cat both\n{first};;\n*) exit 1;;\nesac"
        ));
        std::fs::write(tool.folder().join("table"), table).unwrap();
        std::fs::write(tool.folder().join("both"), both).unwrap();
        let printed = std::fs::File::create(tool.folder().join("printed")).unwrap();
        let mut command = tool.agent(&["--stdout", "--format", "json", "--set", "ascend.period=1s"]);
        command.stdout(printed).stderr(Stdio::null());
        (tool, Running::start(command), *first)
    };
    let agents: Vec<_> = transient.iter().map(start).collect();
    let others: Vec<_> = lasting.iter().map(start).collect();
    for (tool, _agent, first) in agents {
        wait_for(first, || {
            let printed = std::fs::read_to_string(tool.folder().join("printed")).ok()?;
            let id = |id| printed.contains(&format!("\"ascend.physical.id\":{id},"));
            (id(6) && id(4)).then_some(())
        });
    }
    for (tool, _agent, first) in others {
        // Longer than until the others were asked again: ten seconds.
        wait_for("calls a second apart", || {
            (tool.text("called").lines().count() > 12).then_some(())
        });
        assert_eq!(tool.text("asked").lines().count(), 1, "{first}");
    }
}

#[test]
fn the_tool_is_called_as_often_as_the_collector_s_interval() {
    let tool = with_mapping(fake_npu_smi::Family::A3, "");
    let calls = tool.folder().join("calls");
    let script = std::fs::read_to_string(tool.path()).unwrap();
    let script = script.replacen('\n', &format!("\ndate +%s.%N >>{}\n", calls.display()), 1);
    let tool = Tool::file(script.as_bytes(), 0o755);
    let mut command = tool.agent(&[
        "--stdout",
        "--format",
        "json",
        "--set",
        "compat.k8s_monitor.annotation=true",
    ]);
    command
        .env("COLLECT_INTERVAL", "3")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _agent = Running::start(command);
    // By itself it would be ten. The machine may let some calls begin late, and not all of them.
    wait_for("two calls three seconds apart", || {
        let times = read_times(&calls);
        let mut gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.any(|gap| (2.0..9.0).contains(&gap)).then_some(())
    });
}

#[test]
fn the_log_says_why_the_collector_s_interval_has_no_effect() {
    let tool = with_mapping(fake_npu_smi::Family::A3, "");
    let log = |seconds: &str, arguments: &[&str]| {
        let mut command = tool.agent(&["--stdout", "--once"]);
        let output = command
            .args(arguments)
            .env("COLLECT_INTERVAL", seconds)
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    for seconds in ["3", "5", "60"] {
        let log = log(seconds, &[]);
        let reason = "environment variable COLLECT_INTERVAL: compat.k8s_monitor.interval: the annotation is off";
        assert!(
            log.contains(reason) && log.contains("the chips are read every 10s"),
            "{log}"
        );
    }
    let log = log("3", &["--set", "ascend.period=3s"]);
    assert!(!log.contains("COLLECT_INTERVAL"), "{log}");
}

fn read_times(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
