//! The same XID from NVML and from the kernel's log is counted once, whichever comes first.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use serde_json::json;

use super::nvml_support::{Fake, h100, uuid};
use super::{Agent, samples};

/// A host with the fake's first GPUs on its bus, and with a log.
struct Host {
    root: tempfile::TempDir,
    log: File,
    next: u32,
}

impl Host {
    fn new(gpus: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        file("proc/1/comm", "init\n");
        file("proc/stat", "btime 1700000000\n");
        for gpu in 0..gpus {
            let address = format!("0000:{:02x}:00.0", 0x10 + gpu);
            let directory = format!("sys/bus/pci/devices/{address}");
            file(&format!("{directory}/vendor"), "0x10de\n");
            file(&format!("{directory}/class"), "0x030200\n");
            let link = root.path().join(&directory).join("driver");
            std::os::unix::fs::symlink(Path::new("/sys/bus/pci/drivers/nvidia"), link).unwrap();
            let information = format!("GPU UUID: \t {}\nDevice Minor: \t {gpu}\n", uuid(gpu));
            file(&format!("proc/driver/nvidia/gpus/{address}/information"), &information);
        }
        std::fs::create_dir(root.path().join("dev")).unwrap();
        let path = root.path().join("dev/kmsg");
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let log = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        // Each write is one read, as of the device (pipe(2)).
        rustix::fs::fcntl_setfl(&log, flags | OFlags::DIRECT).unwrap();
        Self {
            root,
            log: log.into(),
            next: 1,
        }
    }

    fn setting(&self) -> String {
        format!("host.root={}", self.root.path().display())
    }

    /// A line of the driver's, of now.
    fn xid(&mut self, gpu: usize, code: u32) {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let (micros, number) = ((seconds * 1e6) as u64, self.next);
        let line = format!(
            "3,{number},{micros},-;NVRM: Xid (PCI:0000:{:02x}:00): {code}, pid=1, a test\n",
            0x10 + gpu
        );
        self.next += 1;
        self.log.write_all(line.as_bytes()).unwrap();
    }
}

fn count(text: &str, gpu: usize, code: &str) -> Vec<f64> {
    let id: &str = &uuid(gpu);
    samples(
        text,
        "hw_errors_total",
        &[("hw_id", id), ("nvidia_xid", code), ("error_type", "xid")],
    )
}

/// Waits until the log's line of that code was read.
fn until_read(agent: &Agent, code: &str) -> String {
    agent.until("the line in the log", |text| {
        samples(text, "accel_fault_last_seen_seconds", &[("nvidia_xid", code)]).len() == 1
    })
}

fn until_watched(agent: &Agent, gpus: usize) {
    agent.until("watched GPUs", |text| {
        samples(text, "nvidia_feature_supported", &[("nvidia_feature", "xid")]) == vec![1.0; gpus]
    });
}

#[test]
fn one_xid_through_both_is_one_whichever_comes_first() {
    let mut host = Host::new(2);
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.with_kernel_log = true;
    let agent = Agent::with(&fake, &["--set", &host.setting()]);
    until_watched(&agent, 2);
    // The log first.
    host.xid(1, 79);
    until_read(&agent, "79");
    fake.change(|state| state["events"] = json!([{"device": 1, "data": 79}]));
    let id = uuid(1);
    let nvml = [("hw_id", id.as_str())];
    let text = agent.until_value("nvidia_xid_events_total", &nvml, 1.0);
    assert_eq!((count(&text, 1, "79"), count(&text, 0, "79")), (vec![1.0], vec![0.0]));
    // NVML first.
    fake.change(|state| {
        state["events"]
            .as_array_mut()
            .unwrap()
            .push(json!({"device": 1, "data": 62}));
    });
    let text = agent.until_value("nvidia_xid_events_total", &nvml, 2.0);
    assert_eq!(count(&text, 1, "62"), [1.0]);
    host.xid(1, 62);
    let text = until_read(&agent, "62");
    assert_eq!(count(&text, 1, "62"), [1.0]);
    // Both are in no later reading either.
    fake.change(|state| {
        state["events"]
            .as_array_mut()
            .unwrap()
            .push(json!({"device": 1, "data": 48}));
    });
    let text = agent.until_value("nvidia_xid_events_total", &nvml, 3.0);
    assert_eq!(
        [count(&text, 1, "79"), count(&text, 1, "62"), count(&text, 1, "48")],
        [[1.0]; 3]
    );
}

#[test]
fn the_log_counts_where_nvml_tells_of_nothing_and_what_it_skips_is_counted() {
    let mut host = Host::new(2);
    let mut fake = Fake::new(vec![h100(0)]);
    fake.with_kernel_log = true;
    let agent = Agent::with(&fake, &["--set", &host.setting()]);
    until_watched(&agent, 1);
    // NVML is not given the second.
    let text = agent.until("zeros of both", |text| {
        count(text, 0, "79") == [0.0] && count(text, 1, "79") == [0.0]
    });
    assert_eq!(
        samples(&text, "hw_errors_total", &[("error_type", "aer_fatal")]),
        [0.0, 0.0]
    );
    host.xid(1, 79);
    let id: &str = &uuid(1);
    let of = [("hw_id", id), ("nvidia_xid", "79"), ("error_type", "xid")];
    agent.until_value("hw_errors_total", &of, 1.0);
    // A GPU that is not there, and seven records that the kernel has overwritten.
    host.next += 7;
    host.xid(9, 79);
    for (reason, expected) in [("unknown_device", 1.0), ("overwritten", 7.0), ("malformed", 0.0)] {
        let of = [("agent_sampler", "kmsg"), ("agent_reason", reason)];
        agent.until_value("agent_sampler_skipped_total", &of, expected);
    }
}

#[test]
fn the_last_xid_of_a_gpu_that_is_lost_to_nvml_is_counted_from_the_log_and_the_others_stay() {
    let mut host = Host::new(2);
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.with_kernel_log = true;
    let agent = Agent::with(&fake, &["--set", &host.setting()]);
    until_watched(&agent, 2);
    host.xid(1, 31);
    until_read(&agent, "31");
    fake.change(|state| state["events"] = json!([{"device": 1, "data": 31}]));
    let id: &str = &uuid(1);
    agent.until_value("nvidia_xid_events_total", &[("hw_id", id)], 1.0);
    // It falls off the bus, and NVML has no event of that.
    fake.change(|state| state["devices"][1]["lost"] = json!(true));
    host.xid(1, 79);
    let of = [("hw_id", id), ("nvidia_xid", "79"), ("error_type", "xid")];
    let text = agent.until_value("hw_errors_total", &of, 1.0);
    assert_eq!((count(&text, 1, "31"), count(&text, 0, "79")), (vec![1.0], vec![0.0]));
    assert_eq!(samples(&text, "nvidia_xid_events_total", &[("hw_id", id)]), [1.0]);
}
