//! Control groups of a node that is full of pods, and what containerd and the kubelet have of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The kubelet's limit by default (`maxPods`).
const PODS: u32 = 110;
/// Containers of a pod, its sandbox included.
const CONTAINERS: u32 = 3;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Groups of pods without processes; removed on drop.
pub(crate) struct Pods {
    /// From the outermost.
    groups: Vec<PathBuf>,
}

impl Pods {
    /// Shown as the only groups below that root; `None` where no group can be made.
    pub(crate) fn new(root: &Path) -> Result<Option<Self>> {
        let legacy = ["cpuacct", "cpu,cpuacct"].map(|name| Path::new(CGROUPS).join(name));
        let legacy = legacy.into_iter().find(|mount| mount.join("cpuacct.usage").exists());
        let mount = legacy.clone().unwrap_or_else(|| CGROUPS.into());
        let top = mount.join(format!("accelscope-cost-{}", std::process::id()));
        let mut pods = Self { groups: Vec::new() };
        if pods.add(top.clone()).is_err() || !(top.join("cpuacct.usage").exists() || top.join("cpu.stat").exists()) {
            return Ok(None);
        }
        let seen = root.join(CGROUPS.trim_start_matches('/'));
        if legacy.is_some() {
            fs::create_dir_all(&seen)?;
            symlink(&top, seen.join("cpuacct"))?;
        } else {
            symlink(&top, seen)?;
        }
        for group in ["kubepods", "kubepods/burstable"] {
            pods.add(top.join(group))?;
        }
        for pod in 0..PODS {
            pods.pod(&top.join("kubepods/burstable"), root, pod)?;
        }
        Ok(Some(pods))
    }

    fn add(&mut self, group: PathBuf) -> Result<()> {
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        self.groups.push(group);
        Ok(())
    }

    fn pod(&mut self, around: &Path, root: &Path, pod: u32) -> Result<()> {
        let uid = format!("{pod:08x}-5f60-4718-8293-a4b5c6d7e8f9");
        let group = around.join(format!("pod{uid}"));
        self.add(group.clone())?;
        fs::create_dir_all(root.join(format!("var/log/pods/edge_web-{pod}_{uid}")))?;
        for container in 0..CONTAINERS {
            let id = format!("{pod:08x}{container:056x}");
            self.add(group.join(&id))?;
            let (kind, names) = match container {
                0 => ("sandbox", String::new()),
                _ => (
                    "container",
                    format!(
                        r#","io.kubernetes.cri.container-name":"server-{container}","io.kubernetes.cri.image-name":"web:1""#
                    ),
                ),
            };
            let bundle = format!(
                r#"{{"annotations":{{"io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-name":"web-{pod}",
                "io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.sandbox-uid":"{uid}"{names}}}}}"#
            );
            let folder = root
                .join("run/containerd/io.containerd.runtime.v2.task/k8s.io")
                .join(id);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join("config.json"), bundle)?;
        }
        Ok(())
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        for group in self.groups.iter().rev() {
            fs::remove_dir(group).ok();
        }
    }
}
