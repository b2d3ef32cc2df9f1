//! Values from vendors' libraries and tools and from the kernel, in a Collector and a Prometheus.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{Verdict, without};
use crate::cargo::build;
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Cgroup, Collector, Instant, Prometheus};
use crate::e2e::process::{Process, bound, output};
use crate::e2e::wait::{self, SOON};

/// A series, selected by some of its labels, and its value.
struct Expected {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

fn expect(name: &'static str, labels: &[(&'static str, &str)], value: f64) -> Expected {
    let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Expected { name, labels, value }
}

impl Expected {
    /// Fails unless exactly one of these matches, with its value.
    fn check(&self, all: &[Instant]) -> Result<()> {
        let has =
            |labels: &BTreeMap<String, String>| self.labels.iter().all(|(key, value)| labels.get(*key) == Some(value));
        let found: Vec<_> = all
            .iter()
            .filter(|(name, labels, _)| name == self.name && has(labels))
            .map(|(.., value)| *value)
            .collect();
        let right = matches!(found[..], [one] if (one - self.value).abs() <= self.value.abs() * 1e-9);
        ensure!(
            right,
            "{}{:?} is {found:?} and not {}",
            self.name,
            self.labels,
            self.value
        );
        Ok(())
    }
}

/// The agent with a Collector to which it pushes, and a Prometheus to which the Collector writes and that scrapes the
/// agent.
struct Chain {
    agent: Agent,
    collector: Collector,
    prometheus: Prometheus,
}

impl Chain {
    fn start(bench: &Bench<'_>, settings: Vec<(&str, String)>) -> Result<Self> {
        let port = free_port::free_port();
        let prometheus = Prometheus::start(bench, &format!("127.0.0.1:{port}"))?;
        let collector = Collector::start(bench, "collector", Some(prometheus.remote_write_url()))?;
        let mut all = vec![
            ("otlp.enabled", "true".to_owned()),
            ("otlp.endpoint", collector.grpc_url()),
            ("otlp.interval", "1s".to_owned()),
        ];
        all.extend(settings);
        let agent = Agent::start_at(bench, "agent", bound(bench.agent), &all, port)?;
        Ok(Self {
            agent,
            collector,
            prometheus,
        })
    }

    /// Waits until each series is in the Collector, and in Prometheus by scrape and by remote write.
    fn shows(&mut self, bench: &Bench<'_>, expected: &[Expected]) -> Result<()> {
        wait::until("the values in the Collector and in Prometheus", SOON, || {
            self.agent.process.check()?;
            let samples = self.collector.samples(bench)?.into_iter();
            let in_collector: Vec<_> = samples.map(|s| (s.name, s.labels, s.value)).collect();
            for one in expected {
                one.check(&in_collector).context("in the Collector")?;
                for way in [r#"job="scraped""#, r#"via="remote_write""#] {
                    let found = self.prometheus.values(&format!("{}{{{way}}}", one.name))?;
                    one.check(&found).with_context(|| format!("in Prometheus with {way}"))?;
                }
            }
            Ok(Some(()))
        })
    }
}

const GPU: &str = "GPU-00000000-1111-2222-3333-000000000000";
const GIB: u64 = 1 << 30;

/// A library with one GPU, on which this process runs.
fn nvml(bench: &Bench<'_>) -> Result<PathBuf> {
    let library = bench.path("libnvidia-ml.so.1");
    std::fs::copy(build("fake-nvml", "libfake_nvml.so", false)?, &library)?;
    // The agent loads no library that other users could have written.
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o755))?;
    let state = json!({
        "values": {
            "nvmlSystemGetDriverVersion": "580.82.07",
            "nvmlSystemGetNVMLVersion": "13.580.82.07",
            "nvmlSystemGetCudaDriverVersion": 13000,
        },
        "devices": [{
            "values": {
                "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
                "nvmlDeviceGetUUID": GPU,
                "nvmlDeviceGetPciInfo": "00000000:10:00.0",
                "nvmlDeviceGetMinorNumber": 0,
                "nvmlDeviceGetIndex": 0,
                "nvmlDeviceGetUtilizationRates": [40, 20],
                // total, free, used, reserved
                "nvmlDeviceGetMemoryInfo": [80 * GIB, 60 * GIB, 19 * GIB, GIB],
                "nvmlDeviceGetPowerUsage": 250_500,
                "nvmlDeviceGetTotalEnergyConsumption": 123_456_789,
                "nvmlDeviceGetTemperature": {"0": 45},
            },
            "compute": [{"pid": std::process::id(), "memory": GIB, "gi": u32::MAX, "ci": u32::MAX}],
            "graphics": [], "mps": [], "utilization": [], "samples": {},
            "mig": {"mode": 0, "slots": []},
        }],
        "events": [],
    });
    std::fs::write(bench.path("libnvidia-ml.so.1.json"), state.to_string())?;
    Ok(library)
}

/// A script that calls the tests' own `npu-smi`.
fn npu_smi(bench: &Bench<'_>) -> Result<PathBuf> {
    let tool = bench.path("npu-smi");
    let fake = build("fake-npu-smi", "fake-npu-smi", false)?;
    let script = format!("#!/bin/sh\nexec {} --family hbm -- \"$@\"\n", fake.display());
    std::fs::write(&tool, script)?;
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755))?;
    Ok(tool)
}

pub(super) fn told(bench: &Bench<'_>) -> Result<Verdict> {
    let settings = vec![
        ("nvidia.library", nvml(bench)?.display().to_string()),
        ("ascend.npu_smi", npu_smi(bench)?.display().to_string()),
        ("ascend.backend", "npu-smi".to_owned()),
        ("ascend.require_admin", "false".to_owned()),
    ];
    let pid = std::process::id().to_string();
    let expected = [
        expect(
            "hw_gpu_utilization_ratio",
            &[("hw_id", GPU), ("hw_gpu_task", "general")],
            0.4,
        ),
        expect("hw_gpu_memory_usage_bytes", &[("hw_id", GPU)], (19 * GIB) as f64),
        expect("hw_power_watts", &[("hw_id", GPU)], 250.5),
        expect("hw_energy_joules_total", &[("hw_id", GPU)], 123_456.789),
        expect(
            "accel_process_memory_usage_bytes",
            &[
                ("hw_id", GPU),
                ("process_pid", &pid),
                ("process_executable_name", "xtask"),
            ],
            GIB as f64,
        ),
        // The simulated cards have 64 GiB each, of which their own system takes 3300 MB.
        expect(
            "hw_npu_memory_limit_bytes",
            &[("ascend_npu_id", "1"), ("ascend_memory_type", "hbm")],
            (64 * GIB) as f64,
        ),
        expect(
            "hw_npu_memory_usage_bytes",
            &[("ascend_npu_id", "1"), ("ascend_memory_type", "hbm")],
            (3300_u64 << 20) as f64,
        ),
        expect("hw_status", &[("ascend_npu_id", "0"), ("hw_state", "ok")], 1.0),
    ];
    Chain::start(bench, settings)?.shows(bench, &expected)?;
    Ok(Verdict::Passed)
}

/// `TIOCGWINSZ`, which `/dev/full` does not implement and which no shell or interpreter calls on it.
const CALL: &str = "0x00005413";
const CALLS: u32 = 1000;

/// Makes the calls from within the cgroup, then exits.
fn caller(bench: &Bench<'_>, cgroup: &Path) -> Command {
    let script = format!(
        "import fcntl, os\nfd = os.open('/dev/full', os.O_RDONLY)\nfor _ in range({CALLS}):\n    try: fcntl.ioctl(fd, {CALL})\n    except OSError: pass\n"
    );
    let mut command = bound("/bin/sh");
    command
        .args(["-c", "echo $$ > \"$1\"/cgroup.procs && exec \"$2\" -c \"$3\"", "sh"])
        .arg(cgroup)
        .arg(&bench.tools.python)
        .arg(script);
    command
}

pub(super) fn counted(bench: &Bench<'_>) -> Result<Verdict> {
    if !rustix::process::geteuid().is_root() {
        return without("ebpf", "counting calls needs root");
    }
    let devices = ("ioctl.extra_devices", "/dev/full".to_owned());
    let mut doctor = bound(bench.agent);
    doctor.args(["doctor", "--set", &format!("{}={}", devices.0, devices.1)]);
    // A finding may take several lines.
    let said = output(&mut doctor)?.replace("\n      ", " ");
    if let Some(why) = said.lines().find(|line| line.contains("no calls")) {
        return without("ebpf", why.trim());
    }
    let unique = std::process::id();
    let uid = format!("{unique:08x}-0000-4000-8000-00000000acce");
    let container = format!("{unique:032x}{:032x}", 0xacce);
    let cgroup = Cgroup::create(&uid, &container)?;
    let mut chain = Chain::start(bench, vec![devices])?;
    let seen = wait::until("the agent to watch", SOON, || {
        Ok(chain
            .agent
            .samples(bench)?
            .into_iter()
            .find(|s| s.name == "agent_ioctl_devices"))
    })?;
    ensure!(
        seen.labels.get("agent_ioctl_hook").is_some_and(|hook| hook != "scan"),
        "{:?}",
        seen.labels
    );
    let mut calling = Process::start(bench.work, "caller", &mut caller(bench, &cgroup.path()))?;
    let status = calling.ended(SOON)?;
    ensure!(status.success(), "the caller ended with {status}");
    let of = [
        ("container_id", container.as_str()),
        ("k8s_pod_uid", uid.as_str()),
        ("accel_device_name", "full"),
    ];
    let call = [
        of.as_slice(),
        &[("accel_ioctl_command", CALL), ("error_type", "ENOTTY")],
    ]
    .concat();
    let expected = [
        expect("accel_ioctl_calls_total", &call, CALLS.into()),
        expect("accel_ioctl_duration_seconds_count", &of, CALLS.into()),
        expect("accel_ioctl_inflight", &of, 0.0),
    ];
    chain.shows(bench, &expected)?;
    Ok(Verdict::Passed)
}
