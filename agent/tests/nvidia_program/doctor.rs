//! What the doctor and the log report of single GPUs.

use std::io::Read;
use std::net::SocketAddr;
use std::process::Stdio;

use free_port::free_address;
use serde_json::{Value, json};

use super::nvml_support::{Fake, h100, uuid};
use super::program_support::{Running, get, wait_for};
use super::{command, samples};

/// Findings of the doctor about NVIDIA, and its exit code.
fn doctor(fake: &Fake) -> (Vec<String>, Option<i32>) {
    doctor_with(fake, &[])
}

fn doctor_with(fake: &Fake, sets: &[&str]) -> (Vec<String>, Option<i32>) {
    let mut command = command(fake, &["doctor"]);
    for set in sets.iter().chain(&["http.enabled=false"]) {
        command.args(["--set", set]);
    }
    let seen = command.output().unwrap();
    // A finding may take several lines.
    let text = String::from_utf8(seen.stdout).unwrap().replace("\n      ", " ");
    let lines = text
        .lines()
        .filter(|line| line.contains("  nvidia: "))
        .map(str::to_owned);
    (lines.collect(), seen.status.code())
}

#[track_caller]
fn assert_line(lines: &[String], level: &str, words: &[&str]) {
    let fits = |line: &String| line.starts_with(level) && words.iter().all(|word| line.contains(word));
    assert_eq!(
        lines.iter().filter(|line| fits(line)).count(),
        1,
        "{level} {words:?} in {lines:#?}"
    );
}

#[test]
fn gpus_that_do_not_work_are_named_with_reason_and_remedy() {
    let mut fake = Fake::new((0..5).map(h100).collect());
    fake.change(|state| {
        let gpus = &mut state["devices"];
        gpus[1]["lost"] = json!(true);
        // The driver gives no handle, as before a reset.
        gpus[2]["fail"] = json!({"nvmlDeviceGetHandleByIndex_v2": 16});
        gpus[3]["hang"] = json!({"nvmlDeviceGetPowerUsage": "forever"});
        // The driver requests a reset, and memory waits for one.
        gpus[4]["fields"]["230"] = json!({"type": 1, "value": 1});
        gpus[4]["values"]["nvmlDeviceGetRemappedRows"] = json!([0, 1, 1, 0]);
    });
    let (lines, code) = doctor(&fake);
    assert!(!lines.iter().any(|line| line.starts_with("ok")), "{lines:#?}");
    assert_line(&lines, "warn", &["2 of 5 GPU(s) work"]);
    assert_line(&lines, "FAIL", &["GPU 1 (", "gpu_is_lost", "dmesg"]);
    assert_line(&lines, "FAIL", &["GPU 2 (", "must be reset", "nvidia-smi -r -i 2"]);
    let (id, address) = (uuid(3), "0000:13:00.0");
    let words = ["GPU 3 (", &id, address, "power", "hung", "drain the node"];
    assert_line(&lines, "warn", &words);
    let id = uuid(4);
    assert_line(
        &lines,
        "FAIL",
        &["GPU 4 (", &id, "0000:14:00.0", "must be reset", "nvidia-smi -r -i 4"],
    );
    assert_line(&lines, "warn", &["GPU 4 (", "remapping_pending"]);
    assert_eq!(code, Some(1));
}

#[test]
fn gpus_without_a_handle_are_named_with_reason_and_remedy() {
    let faults = [
        (8, "insufficient_power", "power cables"),
        (11, "irq_issue", "interrupt"),
        (14, "corrupted_inforom", "exchange the board"),
        (6, "gpu_not_found", "dmesg"),
        // In use, no resources, a code of the future.
        (19, "inaccessible", "dmesg"),
        (23, "inaccessible", "dmesg"),
        (77, "inaccessible", "dmesg"),
    ];
    for (number, fault, remedy) in faults {
        let mut fake = Fake::new((0..3).map(h100).collect());
        fake.change(|state| state["devices"][1]["fail"] = json!({"nvmlDeviceGetHandleByIndex_v2": number}));
        let (lines, code) = doctor(&fake);
        assert_line(&lines, "warn", &["2 of 3 GPU(s) work"]);
        assert_line(&lines, "FAIL", &["GPU 1 (", fault, remedy]);
        assert_eq!((lines.len(), code), (2, Some(1)), "{lines:#?}");
    }
}

#[test]
fn a_gpu_that_the_agent_may_not_use_is_named_and_has_not_failed() {
    let mut fake = Fake::new((0..3).map(h100).collect());
    fake.change(|state| state["devices"][1]["fail"] = json!({"nvmlDeviceGetHandleByIndex_v2": 4}));
    let (lines, _) = doctor(&fake);
    assert_line(&lines, "warn", &["2 of 3 GPU(s) work"]);
    assert_line(
        &lines,
        "warn",
        &["GPU 1 (", "not permitted", "NVIDIA_VISIBLE_DEVICES=all"],
    );
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn a_running_agent_reports_gpus_without_a_handle() {
    let mut fake = Fake::new((0..4).map(h100).collect());
    let refuse = |state: &mut Value, gpu: usize, code: i64| {
        state["devices"][gpu]["fail"] = json!({"nvmlDeviceGetHandleByIndex_v2": code});
    };
    fake.change(|state| {
        refuse(state, 1, 8);
        refuse(state, 2, 4);
    });
    let (mut agent, address) = logged(&fake);
    let text = wait_for("the faults", || {
        let text = get(address, "/metrics")?.body;
        (samples(&text, "nvidia_device_fault", &[]).len() == 2).then_some(text)
    });
    let of = |fault| samples(&text, "nvidia_device_fault", &[("error_type", fault)]);
    assert_eq!((of("insufficient_power"), of("no_permission")), (vec![1.0], vec![1.0]));
    let failed = samples(&text, "hw_status", &[("hw_state", "failed")]);
    assert_eq!(failed.len(), 3, "the state of one that may not be used is unknown");
    assert_eq!(failed.iter().sum::<f64>(), 1.0);
    assert_eq!(samples(&text, "nvidia_device_info", &[]).len(), 4);
    agent.terminate();
    agent.exit_code();
    let mut log = String::new();
    agent.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let line = log.lines().find(|line| line.contains("1 of 4 GPUs are lost (1: "));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for words in [
        "WARN",
        "insufficient_power",
        "1 of 4 GPUs are not read",
        "not permitted",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
}

#[test]
fn gpus_that_all_work_are_ok() {
    let (lines, _) = doctor(&Fake::new(vec![h100(0), h100(1)]));
    assert_line(&lines, "ok", &["NVML reports 2 GPU(s)"]);
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn a_gpu_that_hangs_whatever_it_is_asked_is_named_and_the_others_are_read() {
    let mut fake = Fake::new((0..3).map(h100).collect());
    let hang = ["MigMode", "UUID", "PciInfo_v3"].map(|name| (format!("nvmlDeviceGet{name}"), json!("forever")));
    fake.change(|state| state["devices"][1]["hang"] = Value::Object(hang.into_iter().collect()));
    let (lines, code) = doctor(&fake);
    assert_line(&lines, "warn", &["2 of 3 GPU(s) work"]);
    assert_line(&lines, "FAIL", &["GPU 1 (", "suspended", "hung", "drain the node"]);
    assert_eq!((lines.len(), code), (2, Some(1)), "{lines:#?}");
}

#[test]
fn a_gpu_in_which_two_readings_crash_or_hang_is_named_and_the_others_are_read() {
    let ways = [
        ("crash", "segv", "crashed"),
        ("crash", "abort", "crashed"),
        ("hang", "forever", "hung"),
    ];
    for (way, kind, word) in ways {
        let mut fake = Fake::new((0..3).map(h100).collect());
        fake.change(|state| {
            state["devices"][1][way] = json!({"nvmlDeviceGetPowerUsage": kind, "nvmlDeviceGetTemperature": kind});
        });
        let (lines, code) = doctor(&fake);
        assert_line(&lines, "warn", &["2 of 3 GPU(s) work"]);
        assert_line(
            &lines,
            "FAIL",
            &["GPU 1 (", &uuid(1), "suspended", word, "drain the node"],
        );
        assert_eq!((lines.len(), code), (2, Some(1)), "{lines:#?}");
    }
}

#[test]
fn a_driver_that_hangs_or_crashes_has_the_remedy_of_that() {
    let states: [fn(&mut Value); 3] = [
        |state| state["hang"] = json!({"nvmlDeviceGetCount_v2": "forever"}),
        |state| state["crash"] = json!({"nvmlDeviceGetCount_v2": "segv"}),
        |state| state["crash"] = json!({"nvmlInit_v2": "abort"}),
    ];
    for change in states {
        let mut fake = Fake::new(vec![h100(0)]);
        fake.change(change);
        let (lines, _) = doctor(&fake);
        assert_line(&lines, "FAIL", &["NVML gives nothing", "drain the node"]);
        assert!(!lines[0].contains("runtime mount it"), "{lines:#?}");
    }
}

#[test]
fn a_lost_gpu_that_the_kernel_lists_is_named_by_it() {
    let mut fake = Fake::new((0..2).map(h100).collect());
    fake.change(|state| state["devices"][1]["lost"] = json!(true));
    let host = fake.directory().join("host");
    std::fs::create_dir_all(host.join("sys/class")).unwrap();
    for (gpu, address) in [(0, "0000:10:00.0"), (1, "0000:11:00.0")] {
        let folder = host.join("proc/driver/nvidia/gpus").join(address);
        std::fs::create_dir_all(&folder).unwrap();
        let id = uuid(gpu);
        let text = format!("Model: \t NVIDIA H100 80GB HBM3\nGPU UUID: \t {id}\nDevice Minor: \t {gpu}\n");
        std::fs::write(folder.join("information"), text).unwrap();
    }
    let (lines, _) = doctor_with(&fake, &[&format!("host.root={}", host.display())]);
    let (id, words) = (uuid(1), ["0000:11:00.0", "NVIDIA H100 80GB HBM3", "gpu_is_lost"]);
    assert_line(&lines, "FAIL", &[&["GPU 1 (", id.as_str()], &words[..]].concat());
}

/// An agent whose log is kept, and where it is pulled from.
fn logged(fake: &Fake) -> (Running, SocketAddr) {
    let address = free_address();
    let mut command = command(fake, &[]);
    command
        .args(["--set", &format!("http.listen={address}")])
        .stderr(Stdio::piped());
    (Running::start(command), address)
}

/// Three GPUs, of which two report the same UUID.
fn clones() -> Fake {
    let mut gpus: Vec<Value> = (0..3).map(h100).collect();
    gpus[2]["values"]["nvmlDeviceGetUUID"] = json!(uuid(0));
    Fake::new(gpus)
}

#[test]
fn gpus_with_the_same_uuid_are_reported() {
    let (lines, _) = doctor(&clones());
    for (index, address) in [("0", "0000:10:00.0"), ("2", "0000:12:00.0")] {
        let gpu = format!("GPU {index} ({}@{address}", uuid(0));
        assert_line(&lines, "warn", &[&gpu, "same UUID"]);
    }
    assert_line(&lines, "ok", &["NVML reports 3 GPU(s)"]);
}

#[test]
fn gpus_with_the_same_uuid_have_series_of_their_own_and_the_log_names_them() {
    let fake = clones();
    let (mut agent, address) = logged(&fake);
    let text = wait_for("all GPUs", || {
        let text = get(address, "/metrics")?.body;
        (samples(&text, "hw_power_watts", &[]).len() == 3).then_some(text)
    });
    for (index, place) in [(0, "@0000:10:00.0"), (1, ""), (2, "@0000:12:00.0")] {
        let id = format!("{}{place}", uuid(index % 2));
        let watts = 250.0 + f64::from(u32::try_from(index).unwrap()) / 1000.0;
        assert_eq!(samples(&text, "hw_power_watts", &[("hw_id", &id)]), [watts], "{id}");
        assert_eq!(
            samples(&text, "nvidia_xid_events_total", &[("hw_id", &id)]),
            [0.0],
            "{id}"
        );
    }
    agent.terminate();
    agent.exit_code();
    let mut log = String::new();
    agent.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let line = log.lines().find(|line| line.contains("same UUID"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("@0000:10:00.0") && line.contains("@0000:12:00.0"),
        "{line}"
    );
}
