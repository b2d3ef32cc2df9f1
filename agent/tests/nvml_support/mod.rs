//! The fake NVML with a state that a test changes while the library is in use.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

pub(crate) mod reading;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A gibibyte.
pub(crate) const GIB: u64 = 1 << 30;

/// A copy of the fake library with its state beside it.
pub(crate) struct Fake {
    directory: TempDir,
    state: Value,
    /// Whether the kernel's log is read too.
    pub(crate) with_kernel_log: bool,
}

impl Fake {
    /// A library with these devices.
    pub(crate) fn new(devices: Vec<Value>) -> Self {
        Self::without(&[], devices)
    }

    /// A copy that lacks these functions: their names in its symbol table are replaced.
    pub(crate) fn without(functions: &[&str], devices: Vec<Value>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        copy_library(
            "libfake_nvml.so",
            functions,
            &directory.path().join("libnvidia-ml.so.1"),
        );
        let mut state = json!({
            "generation": 1,
            "values": {
                "nvmlSystemGetDriverVersion": "580.82.07",
                "nvmlSystemGetNVMLVersion": "13.580.82.07",
                "nvmlSystemGetCudaDriverVersion": 13000,
            },
            "events": [],
        });
        state["devices"] = devices.into();
        let fake = Self {
            directory,
            state,
            with_kernel_log: false,
        };
        fake.write();
        fake
    }

    /// The library's path, for `nvidia.library`.
    pub(crate) fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    /// Settings with which an agent reads it once a second, and nothing else but the kernel's log if that is wanted.
    pub(crate) fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("nvidia.library={}", self.library().display()),
            "nvidia.period=1s".to_owned(),
        ];
        let others = ["hailo", "ascend", "holders", "ioctl", "kubelet"];
        settings.extend(others.map(|source| format!("{source}.enabled=false")));
        settings.push(format!("kmsg.enabled={}", self.with_kernel_log));
        settings
    }

    /// A folder for the test's own files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Changes the state atomically.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.state);
        self.write();
    }

    /// From now on every call is recorded.
    pub(crate) fn record_calls(&self) {
        std::fs::write(self.beside("calls"), "").unwrap();
    }

    /// The calls since, `FUNCTION DEVICE` each.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.beside("calls")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.directory.path().join(format!("libnvidia-ml.so.1.json.{ending}"))
    }

    fn write(&self) {
        let new = self.beside("new");
        std::fs::write(&new, self.state.to_string()).unwrap();
        std::fs::rename(new, self.directory.path().join("libnvidia-ml.so.1.json")).unwrap();
    }
}

/// Copies a library that Cargo built beside the tests.
pub(crate) fn copy_library(name: &str, without: &[&str], to: &Path) {
    let built = std::env::current_exe().unwrap();
    let built = built.parent().unwrap().join(name);
    let mut bytes = std::fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    for function in without {
        let name = [b"\0", function.as_bytes(), b"\0"].concat();
        let at: Vec<_> = (0..bytes.len() - name.len())
            .filter(|at| bytes[*at..].starts_with(&name))
            .collect();
        assert!(!at.is_empty(), "no symbol {function}");
        for at in at {
            bytes[at + 1] = b'_';
        }
    }
    std::fs::write(to, bytes).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The UUID of the device with that index.
pub(crate) fn uuid(index: usize) -> String {
    format!("GPU-00000000-1111-2222-3333-{index:012}")
}

/// An idle GPU like an H100; every value of it differs from every other.
pub(crate) fn h100(index: usize) -> Value {
    let seed = index as u64;
    let identity = json!({
            "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetUUID": uuid(index),
            "nvmlDeviceGetSerial": format!("165082400{index:04}"),
            "nvmlDeviceGetVbiosVersion": "96.00.99.00.01",
            "nvmlDeviceGetBoardPartNumber": "692-2G520-0200-000",
            "nvmlDeviceGetInforomImageVersion": "G520.0200.00.05",
            "nvmlDeviceGetPciInfo": format!("00000000:{:02X}:00.0", 0x10 + index),
            "nvmlDeviceGetMinorNumber": seed,
            "nvmlDeviceGetIndex": seed,
            "nvmlDeviceGetBrand": 14,
            "nvmlDeviceGetArchitecture": 9,
            "nvmlDeviceGetCudaComputeCapability": [9, 0],
            "nvmlDeviceGetPersistenceMode": 1,
            "nvmlDeviceGetComputeMode": 0,
            "nvmlDeviceGetNumGpuCores": 16896,
    });
    let readings = json!({
            "nvmlDeviceGetUtilizationRates": [40 + seed, 20 + seed],
            "nvmlDeviceGetEncoderUtilization": [3 + seed, 167_000],
            "nvmlDeviceGetDecoderUtilization": [4 + seed, 167_000],
            "nvmlDeviceGetJpgUtilization": [5 + seed, 167_000],
            "nvmlDeviceGetOfaUtilization": [6 + seed, 167_000],
            // total, free, used, reserved
            "nvmlDeviceGetMemoryInfo": [80 * GIB, (60 - seed) * GIB, (19 + seed) * GIB, GIB],
            "nvmlDeviceGetBAR1MemoryInfo": [128 * GIB, 127 * GIB, GIB],
            "nvmlDeviceGetPowerUsage": 250_000 + seed,
            "nvmlDeviceGetPowerManagementLimit": 700_000,
            "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
            "nvmlDeviceGetEnforcedPowerLimit": 650_000,
            "nvmlDeviceGetPowerManagementLimitConstraints": [200_000, 700_000],
            "nvmlDeviceGetTotalEnergyConsumption": 123_456_789 + seed,
            "nvmlDeviceGetTemperature": {"0": 45 + seed},
            "nvmlDeviceGetTemperatureThreshold": {"0": 92, "1": 89, "2": 95, "3": 87},
            "nvmlDeviceGetClockInfo": {"0": 1755, "1": 1755, "2": 2619, "3": 1395},
            "nvmlDeviceGetMaxClockInfo": {"0": 1980, "1": 1980, "2": 2619, "3": 1545},
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x4,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
            "nvmlDeviceGetSupportedClocksThrottleReasons": 0x1ff,
            "nvmlDeviceGetSupportedClocksEventReasons": 0x1ff,
    });
    let more = json!({
            "nvmlDeviceGetPerformanceState": 0,
            "nvmlDeviceGetCurrPcieLinkGeneration": 5,
            "nvmlDeviceGetMaxPcieLinkGeneration": 5,
            "nvmlDeviceGetCurrPcieLinkWidth": 16,
            "nvmlDeviceGetMaxPcieLinkWidth": 16,
            "nvmlDeviceGetPcieReplayCounter": 7 + seed,
            "nvmlDeviceGetEccMode": [1, 1],
            "nvmlDeviceGetTotalEccErrors": {"0,0": 11, "0,1": 13, "1,0": 12, "1,1": 14},
            "nvmlDeviceGetRemappedRows": [1, 2, 0, 0],
            "nvmlDeviceGetRetiredPages": {"0": [], "1": []},
            "nvmlDeviceGetRetiredPagesPendingStatus": 0,
            "nvmlDeviceGetNvLinkState": {"0": 1, "1": 0},
            "nvmlDeviceGetNvLinkVersion": {"0": 4, "1": 4},
            "nvmlDeviceGetViolationStatus": {"0": [1_000_000, 5_000_000_000_u64], "1": [1_000_000, 6_000_000_000_u64]},
            // single and double bit ECC, XID
            "nvmlDeviceGetSupportedEventTypes": 0xb,
    });
    let values: Vec<_> = [identity, readings, more]
        .iter()
        .flat_map(|part| part.as_object().unwrap().clone())
        .collect();
    json!({
        "values": Value::Object(values.into_iter().collect()),
        "fields": {
            "82": {"type": 1, "value": 60 + seed},
            "83": {"type": 3, "value": 123_456_789 + seed},
            "138": {"type": 3, "value": 1000}, "139": {"type": 3, "value": 2000},
            "142": {"type": 1, "value": 1}, "143": {"type": 1, "value": 2},
            "144": {"type": 1, "value": 0}, "145": {"type": 1, "value": 0},
            "185": {"type": 1, "value": 251_000}, "186": {"type": 1, "value": 252_000},
        },
        "compute": [], "graphics": [], "mps": [],
        "utilization": [],
        "samples": {"1": [], "2": []},
        "gpm": {"supported": 1, "metrics": {}, "instances": {}},
        "mig": {"mode": 0, "slots": []},
    })
}

/// A MIG device: a compute instance in a GPU instance of an H100.
pub(crate) fn mig(gpu: usize, gi: u64, ci: u64, profile: &str, slices: [u64; 2], gib: u64) -> Value {
    json!({
        "gi": gi, "ci": ci,
        "values": {
            "nvmlDeviceGetName": format!("NVIDIA H100 80GB HBM3 MIG {profile}"),
            "nvmlDeviceGetUUID": format!("MIG-{gpu:08}-0000-0000-{gi:04}-{ci:012}"),
            "nvmlDeviceGetMemoryInfo": [gib * GIB, (gib - gi) * GIB, gi * GIB, 0],
            // multiprocessors, copy engines, decoders, encoders, JPEG, OFA, slices of GI and CI, MiB
            "nvmlDeviceGetAttributes": [16, 1, 1, 0, 1, 0, slices[0], slices[1], gib * 1024],
        },
        "compute": [], "graphics": [], "mps": [],
    })
}
