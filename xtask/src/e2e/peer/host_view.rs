//! This machine with an additional Hailo device and container runtime.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::e2e::bench::Bench;
use crate::e2e::process::bound;
use crate::tools::data;

/// Device node in place of the accelerator's: every process may open it, and few do.
pub(crate) const DEVICE_NODE: &str = "/dev/full";
const DEVICE_NUMBER: &str = "1:7";

/// A root folder for `host.root`, with everything of this machine except `/sys` and `/run`.
pub(crate) struct HostView {
    root: PathBuf,
    overlay: PathBuf,
}

impl HostView {
    /// Creates it with one Hailo-8 at `address`.
    pub(crate) fn create(bench: &Bench<'_>, address: &str) -> Result<Self> {
        let view = Self {
            root: bench.path("host"),
            overlay: bench.path("overlay"),
        };
        let device = view.overlay.join("sys/class/hailo_chardev/hailo0");
        std::fs::create_dir_all(&device)?;
        std::fs::create_dir_all(view.overlay.join("run"))?;
        // In the driver's format: without a line end.
        for (name, content) in [
            ("dev", &format!("{DEVICE_NUMBER}\n")[..]),
            ("board_location", address),
            ("device_id", "1e60:2864"),
            ("accelerator_type", "0"),
        ] {
            std::fs::write(device.join(name), content)?;
        }
        Ok(view)
    }

    /// Writes containerd's bundle of a container; returns that container's Kubernetes attributes.
    pub(crate) fn add_bundle(&self, id: &str, uid: &str, pod: &str) -> Result<[(&'static str, String); 5]> {
        let bundle = self
            .overlay
            .join("run/containerd/io.containerd.runtime.v2.task/k8s.io")
            .join(id);
        std::fs::create_dir_all(&bundle)?;
        let config = json!({"ociVersion": "1.2.0", "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "inference",
            "io.kubernetes.cri.image-name": "registry.example/inference:1.4",
            "io.kubernetes.cri.sandbox-id": "f".repeat(64),
            "io.kubernetes.cri.sandbox-name": pod,
            "io.kubernetes.cri.sandbox-namespace": "vision",
            "io.kubernetes.cri.sandbox-uid": uid,
        }});
        std::fs::write(bundle.join("config.json"), config.to_string())?;
        Ok([
            ("container.id", id.to_owned()),
            ("k8s.pod.name", pod.to_owned()),
            ("k8s.pod.uid", uid.to_owned()),
            ("k8s.namespace.name", "vision".to_owned()),
            ("k8s.container.name", "inference".to_owned()),
        ])
    }

    /// Command prefix that runs the agent in that view; the rest of its command line follows.
    pub(crate) fn agent(&self, bench: &Bench<'_>) -> Command {
        let mut command = bound("unshare");
        command
            .args(["--mount", "--propagation", "private", "bash"])
            .arg(data("host-view.sh"));
        command.arg(&self.root).arg(&self.overlay).arg(bench.agent);
        command
    }

    /// The value of `host.root`.
    pub(crate) fn root(&self) -> String {
        self.root.display().to_string()
    }
}
