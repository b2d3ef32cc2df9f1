//! The program with an NVML that this project did not write: that of Performance Co-Pilot's test suite. It has two
//! GPUs, on the first the process that calls it, on the second that process and its parent.
#![cfg(feature = "nvidia")]
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a test that fails says where, and whole percents come out exactly"
)]

mod nvml_support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use skip_test::skip;

const MIB: f64 = 1_048_576.0;
const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";
const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";
const BUNDLE: &str = r#"{"ociVersion":"1.2.0","annotations":{
    "io.kubernetes.cri.container-name":"train","io.kubernetes.cri.container-type":"container",
    "io.kubernetes.cri.image-name":"registry.example/train:3","io.kubernetes.cri.sandbox-name":"train-7d9f",
    "io.kubernetes.cri.sandbox-namespace":"ml","io.kubernetes.cri.sandbox-uid":"1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"}}"#;

/// The library, if it exists.
fn library() -> Option<PathBuf> {
    let library = std::env::var_os("ACCELSCOPE_PCP_NVML").map(PathBuf::from);
    if library.is_none() {
        skip(
            "pcp-nvml",
            "ACCELSCOPE_PCP_NVML names no library; `cargo xtask tools` fetches it",
        );
    }
    library
}

/// A cgroup of a container, removed at the end.
struct Group {
    made: Vec<PathBuf>,
    directory: PathBuf,
}

impl Group {
    fn new(hierarchy: &Path) -> std::io::Result<Self> {
        let uid = UID.replace('-', "_");
        let name = format!("accelscope-nvml-{}", std::process::id());
        let path = format!("{name}/kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope");
        let mut group = Self {
            made: Vec::new(),
            directory: hierarchy.to_owned(),
        };
        for part in path.split('/') {
            group.directory.push(part);
            std::fs::create_dir(&group.directory)?;
            group.made.push(group.directory.clone());
        }
        Ok(group)
    }

    /// Creates it in the hierarchy that the kernel lets us use.
    fn anywhere() -> Option<Self> {
        let candidates = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let mut candidates = candidates.map(PathBuf::from).into_iter();
        let group = candidates.find_map(|path| {
            let is_hierarchy = path.join("cgroup.procs").exists();
            is_hierarchy.then(|| Self::new(&path).ok()).flatten()
        });
        if group.is_none() {
            skip("cgroups", "none can be made: nothing to join processes with");
        }
        group
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in self.made.iter().rev() {
            // A group is busy for a moment after its last process was waited for.
            let deadline = Instant::now() + Duration::from_secs(60);
            while std::fs::remove_dir(directory).is_err() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

/// Output of the program, run in that cgroup, and its process id.
fn run(library: &Path, group: Option<&Group>) -> (Vec<Value>, i64) {
    let host = tempfile::tempdir().unwrap();
    symlink("/proc", host.path().join("proc")).unwrap();
    let bundle = host
        .path()
        .join(format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}"));
    std::fs::create_dir_all(&bundle).unwrap();
    std::fs::write(bundle.join("config.json"), BUNDLE).unwrap();
    let shim = host.path().join("libnvidia-ml.so.1");
    nvml_support::copy_library("libpcp_nvml_shim.so", &[], &shim);
    std::fs::write(host.path().join("libnvidia-ml.so.1.pcp"), library.to_str().unwrap()).unwrap();

    let enter = "[ -z \"$GROUP\" ] || echo $$ > \"$GROUP/cgroup.procs\" || exit 99; exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", enter, "sh", env!("CARGO_BIN_EXE_agent")])
        .args(["--stdout", "--format", "json", "--once"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ACCELSCOPE__NVIDIA__LIBRARY", &shim)
        .env("ACCELSCOPE__NVIDIA__ENABLED", "true")
        .env("ACCELSCOPE__HOST__ROOT", host.path())
        .env("GROUP", group.map_or(Path::new(""), |group| &group.directory))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The shell execs the program, so this is its id.
    let child = command.spawn().unwrap();
    let pid = i64::from(child.id());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), pid)
}

fn all<'a>(lines: &'a [Value], name: &str, with: &[(&str, &str)]) -> Vec<&'a Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fits = |line: &&Value| {
        line["name"] == name
            && with
                .iter()
                .all(|(key, value)| text(&line["attributes"][*key]) == *value)
    };
    lines.iter().filter(fits).collect()
}

#[track_caller]
fn value(lines: &[Value], name: &str, with: &[(&str, &str)]) -> f64 {
    let found = all(lines, name, with);
    assert_eq!(found.len(), 1, "{name} {with:?}: {found:?}");
    found[0]["value"].as_f64().unwrap()
}

/// `hw.id` of the GPU of that model: the library gives no UUID.
fn id(lines: &[Value], model: &str) -> String {
    let info = all(lines, "nvidia.device.info", &[("hw.model", model)]);
    assert_eq!(info.len(), 1, "{model}: {lines:?}");
    info[0]["attributes"]["hw.id"].as_str().unwrap().to_owned()
}

const GEFORCE: &str = "GeForce 100M Series";
const QUADRO: &str = "Quadro FX 200M Series";

#[test]
fn the_values_of_a_library_of_others_come_out_right() {
    let Some(library) = library() else { return };
    let (lines, _) = run(&library, None);
    let (geforce, quadro) = (id(&lines, GEFORCE), id(&lines, QUADRO));
    assert_ne!(geforce, quadro);
    let expected = [
        (&geforce, 0.07, 0.08, 6.0, [256.0, 100.0], 0.05, "0000:01:02.0"),
        (&quadro, 0.27, 0.28, 26.0, [8192.0, 6144.0], 0.25, "0014:15:22.0"),
    ];
    for (id, busy, memory, celsius, [total, used], fan, address) in expected {
        let of = |name, more: &[(&str, &str)]| {
            let with: Vec<_> = [("hw.id", id.as_str())].iter().chain(more).copied().collect();
            value(&lines, name, &with)
        };
        assert_eq!(of("hw.gpu.utilization", &[("hw.gpu.task", "general")]), busy);
        assert_eq!(of("nvidia.memory.bandwidth.utilization", &[]), memory);
        assert_eq!(of("hw.temperature", &[]), celsius);
        assert_eq!(of("hw.gpu.memory.limit", &[]), total * MIB);
        assert_eq!(of("hw.gpu.memory.usage", &[]), used * MIB);
        assert_eq!(of("hw.fan.speed_ratio", &[]), fan);
        assert_eq!(of("nvidia.device.info", &[("accel.device.address", address)]), 1.0);
        // Values without a function in the library are absent.
        for absent in [
            "hw.power",
            "hw.energy",
            "accel.process.utilization",
            "nvidia.gpm.utilization",
        ] {
            assert!(all(&lines, absent, &[("hw.id", id.as_str())]).is_empty(), "{absent}");
        }
    }
    assert_eq!(value(&lines, "nvidia.performance.state", &[("hw.id", &geforce)]), 9.0);
    // The library reports P29 for the other: there is no such state.
    assert!(all(&lines, "nvidia.performance.state", &[("hw.id", &quadro)]).is_empty());
    assert_eq!(value(&lines, "nvidia.processes", &[("hw.id", &geforce)]), 1.0);
    assert_eq!(value(&lines, "nvidia.processes", &[("hw.id", &quadro)]), 2.0);
    for id in [&geforce, &quadro] {
        assert_eq!(value(&lines, "nvidia.processes.hidden", &[("hw.id", id)]), 0.0);
    }
}

#[test]
fn its_processes_are_joined_to_their_pod() {
    let Some(library) = library() else { return };
    let Some(group) = Group::anywhere() else { return };
    let (lines, agent) = run(&library, Some(&group));
    let (geforce, quadro) = (id(&lines, GEFORCE), id(&lines, QUADRO));
    let agent = agent.to_string();
    let of_pod = [
        ("k8s.pod.name", "train-7d9f"),
        ("k8s.pod.uid", UID),
        ("k8s.namespace.name", "ml"),
        ("k8s.container.name", "train"),
        ("container.id", ID),
        ("container.image.name", "registry.example/train:3"),
        ("process.executable.name", "agent"),
    ];
    let memory = |with: &[(&str, &str)]| {
        let with: Vec<_> = of_pod.iter().chain(with).copied().collect();
        all(&lines, "accel.process.memory.usage", &with)
            .iter()
            .map(|line| {
                (
                    line["attributes"]["process.pid"].to_string(),
                    line["value"].as_f64().unwrap(),
                )
            })
            .collect::<Vec<_>>()
    };
    // The agent's own process is the parent of the one that calls the library.
    let parent = memory(&[("process.pid", &agent)]);
    assert_eq!(parent.len(), 1, "{lines:#?}");
    assert_eq!(memory(&[("hw.id", &quadro), ("process.pid", &agent)]), parent);
    let first = memory(&[("hw.id", &geforce)]);
    assert_eq!(first.len(), 1);
    let worker = first[0].0.clone();
    assert_ne!(worker, agent);
    let second = memory(&[("hw.id", &quadro)]);
    assert_eq!(second.len(), 2);
    assert!(second.iter().any(|(pid, _)| *pid == worker));
    let mut sizes: Vec<f64> = first.iter().chain(&second).map(|(_, bytes)| bytes / MIB).collect();
    sizes.sort_by(f64::total_cmp);
    assert_eq!(sizes, [100.0, 2048.0, 4096.0]);
}
