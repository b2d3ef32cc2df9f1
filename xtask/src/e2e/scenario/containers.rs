//! Writers in containers, found by the device that they hold open and named by the node's container metadata.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};

use super::known::{self, ADDRESS, MESSAGE};
use super::{Verdict, without};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Cgroup, Container, DEVICE_NODE, HostView, Writer, WriterSpec};
use crate::e2e::reading::Sample;
use crate::e2e::wait::{self, SOON};

/// A pod of one container with a single process, the writer.
struct Pod {
    name: &'static str,
    labels: Vec<(String, String)>,
    // Field order is drop order: the cgroup can only be removed after its process.
    writer: Writer,
    _cgroup: Cgroup,
}

impl Pod {
    /// Pod with this number; with `bind` that folder of the node is mounted at its `/tmp/hmon_files`.
    fn start(bench: &Bench<'_>, view: &HostView, number: usize, message: &str, bind: Option<PathBuf>) -> Result<Self> {
        let name = ["camera-7d4b9c-xk2pq", "gate-0"][number];
        let unique = std::process::id();
        let uid = format!("{unique:08x}-0000-4000-8000-{number:012x}");
        let id = format!("{unique:032x}{number:032x}");
        let cgroup = Cgroup::create(&uid, &id)?;
        let bundle = view.add_bundle(&id, &uid, name)?;
        let container = Container {
            cgroup: cgroup.path(),
            hold: DEVICE_NODE,
            bind,
        };
        let dir = PathBuf::from("/tmp/hmon_files");
        let interval = Duration::from_secs(1);
        let spec = WriterSpec {
            message,
            dir,
            interval,
            mode: "rename",
            container: Some(container),
        };
        let writer = Writer::start(bench, name, &spec)?;
        let labels = bundle
            .into_iter()
            .map(|(key, value)| (key.replace('.', "_"), value))
            .collect();
        Ok(Self {
            name,
            labels,
            writer,
            _cgroup: cgroup,
        })
    }

    /// This pod's samples, after a check of the labels that name the pod, and without them.
    fn samples(&self, all: &[Sample]) -> Result<Vec<Sample>> {
        let mut samples = all.to_vec();
        samples.retain(|s| s.labels.get("k8s_pod_name").is_some_and(|name| name == self.name));
        for sample in &mut samples {
            for (key, value) in &self.labels {
                let found = sample.labels.remove(key);
                ensure!(
                    found.as_ref() == Some(value),
                    "{}: {key} is {found:?} and not {value}",
                    sample.name
                );
            }
            sample.labels.remove("container_image_name");
        }
        Ok(samples)
    }
}

fn agent(bench: &Bench<'_>, view: &HostView) -> Result<Agent> {
    let settings = [
        ("host.root", view.root()),
        ("hailo.dir", bench.path("hmon_files").display().to_string()),
        ("hailo.discover", "true".to_owned()),
    ];
    Agent::start_at(bench, "agent", view.agent(bench), &settings, free_port::free_port())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

const NOT_ROOT: &str = "namespaces and cgroups need root";

pub(super) fn discovered(bench: &Bench<'_>) -> Result<Verdict> {
    if !is_root() {
        return without("root", NOT_ROOT);
    }
    let view = HostView::create(bench, ADDRESS)?;
    let pod = Pod::start(bench, &view, 0, MESSAGE, None)?;
    let agent = agent(bench, &view)?;
    wait::until("the pod's known values", SOON, || {
        let all = agent.samples(bench)?;
        let mut samples = pod.samples(&all)?;
        samples.extend(
            all.into_iter()
                .filter(|sample| !sample.labels.contains_key("k8s_pod_name")),
        );
        known::check(known::of_samples(&samples), &pod.writer, true)?;
        let info = samples
            .iter()
            .find(|s| s.name == "hailo_device_info")
            .context("no hailo_device_info")?;
        ensure!(
            info.labels.get("accel_device_address").is_some_and(|a| a == ADDRESS),
            "{:?}",
            info.labels
        );
        ensure!(
            info.labels.get("hw_name").is_some_and(|name| name == "hailo0"),
            "{:?}",
            info.labels
        );
        Ok(Some(()))
    })?;
    Ok(Verdict::Passed)
}

pub(super) fn own_directories(bench: &Bench<'_>) -> Result<Verdict> {
    if !is_root() {
        return without("root", NOT_ROOT);
    }
    let view = HostView::create(bench, ADDRESS)?;
    let other = MESSAGE.replace("\"fps\": 30,", "\"fps\": 21,");
    let pods = [
        Pod::start(bench, &view, 0, MESSAGE, None)?,
        Pod::start(bench, &view, 1, &other, None)?,
    ];
    let agent = agent(bench, &view)?;
    wait::until("each pod's own values", SOON, || {
        let all = agent.samples(bench)?;
        for (pod, rate) in pods.iter().zip([30.0, 21.0]) {
            let samples = pod.samples(&all)?;
            let rates = values(
                &samples,
                "hailo_network_frame_rate_per_second",
                "hailo_network_name",
                "yolov8n",
            );
            ensure!(rates == [rate], "{} runs yolov8n at {rates:?}, not {rate}", pod.name);
            let own = values(
                &samples,
                "hailo_process_utilization_ratio",
                "process_pid",
                &pod.writer.pid.to_string(),
            );
            ensure!(
                own == [0.4775],
                "{}: utilization of pid {} is {own:?}",
                pod.name,
                pod.writer.pid
            );
        }
        let device: Vec<_> = all
            .iter()
            .filter(|s| s.name == "hw_npu_utilization_ratio")
            .map(|s| s.value)
            .collect();
        ensure!(
            device.len() == 1 && (device[0] - 0.955).abs() < 1e-9,
            "the device's utilization is {device:?}"
        );
        Ok(Some(()))
    })?;
    Ok(Verdict::Passed)
}

pub(super) fn shared_directory(bench: &Bench<'_>) -> Result<Verdict> {
    if !is_root() {
        return without("root", NOT_ROOT);
    }
    let view = HostView::create(bench, ADDRESS)?;
    let shared = bench.path("hmon_files");
    std::fs::create_dir(&shared)?;
    let _pods = [
        Pod::start(bench, &view, 0, MESSAGE, Some(shared.clone()))?,
        Pod::start(bench, &view, 1, MESSAGE, Some(shared.clone()))?,
    ];
    // A file older than the second writer can only be the first one's.
    let both = SystemTime::now();
    wait::until_true("both to write again", SOON, || {
        let files: Vec<_> = std::fs::read_dir(&shared)?.collect::<Result<_, _>>()?;
        Ok(files.len() == 2
            && files
                .iter()
                .all(|f| f.metadata().and_then(|m| m.modified()).is_ok_and(|t| t > both)))
    })?;
    let agent = agent(bench, &view)?;
    wait::until("values without a process", SOON, || {
        let all = agent.samples(bench)?;
        let rates = values(
            &all,
            "hailo_network_frame_rate_per_second",
            "hailo_network_name",
            "yolov8n",
        );
        ensure!(
            (rates.iter().sum::<f64>() - 60.0).abs() < 1e-9,
            "yolov8n runs at {rates:?}, not 60 in all"
        );
        let owned = all.iter().find(|s| s.name.starts_with("hailo_network") && has_owner(s));
        ensure!(owned.is_none(), "a process was guessed: {owned:?}");
        let ambiguous = all
            .iter()
            .find(|s| s.name == "agent_attribution_ambiguous_total")
            .map(|s| s.value);
        ensure!(
            ambiguous.is_some_and(|count| count > 0.0),
            "agent_attribution_ambiguous_total is {ambiguous:?}"
        );
        Ok(Some(()))
    })?;
    Ok(Verdict::Passed)
}

fn has_owner(sample: &Sample) -> bool {
    sample.labels.keys().any(|key| {
        ["process_", "container_", "k8s_pod_"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
    })
}

fn values(samples: &[Sample], name: &str, label: &str, value: &str) -> Vec<f64> {
    let matching = samples
        .iter()
        .filter(|s| s.name == name && s.labels.get(label).is_some_and(|found| found == value));
    matching.map(|sample| sample.value).collect()
}
