//! Pods of this machine: a control group with the name of a container's, and the bundle that has its names.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::group_support;

/// Hierarchy of a pod's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// Removed when the test ends, however it ends.
pub(crate) struct Pod {
    pub(crate) name: String,
    /// The container's group.
    pub(crate) group: PathBuf,
    bundle: PathBuf,
}

const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";

impl Version {
    fn mount(self) -> Option<PathBuf> {
        let (mounts, sign) = match self {
            Self::One => (
                ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"],
                "cgroup.clone_children",
            ),
            Self::Two => (["/sys/fs/cgroup", "/sys/fs/cgroup/unified"], "cgroup.controllers"),
        };
        mounts
            .into_iter()
            .map(PathBuf::from)
            .find(|mount| mount.join(sign).exists())
    }
}

impl Pod {
    /// One in whatever hierarchy there is; `None`, with a message, if there is none.
    pub(crate) fn any() -> Option<Self> {
        let pod = [Version::Two, Version::One].into_iter().find_map(Self::new);
        if pod.is_none() {
            skip_test::skip("cgroups", "no hierarchy of control groups can be written");
        }
        pod
    }

    /// Creates one in containerd's order: the bundle first. `None` if there is no such hierarchy.
    pub(crate) fn new(version: Version) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mount = version.mount()?;
        let unique = u64::from(std::process::id()) << 32 | u64::from(number);
        let uid = format!("1b2c3d4e-5f60-4718-8293-{:012x}", unique & 0xffff_ffff_ffff);
        let id = format!("{:048x}{unique:016x}", 0xacce1_u32);
        let name = format!("infer-{number}");
        let bundle = PathBuf::from(BUNDLES).join(&id);
        std::fs::create_dir_all(&bundle).unwrap();
        let config = format!(
            r#"{{"annotations":{{"io.kubernetes.cri.container-name":"detector","io.kubernetes.cri.sandbox-name":"{name}",
            "io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.sandbox-uid":"{uid}"}}}}"#
        );
        std::fs::write(bundle.join("config.json"), config).unwrap();
        let path = match version {
            Version::One => format!("kubepods/besteffort/pod{uid}/{id}"),
            Version::Two => format!(
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice/cri-containerd-{id}.scope",
                uid.replace('-', "_")
            ),
        };
        let group = mount.join(path);
        std::fs::create_dir_all(&group).unwrap();
        Some(Self { name, group, bundle })
    }

    /// Removes the pod: its groups, then its bundle. Fails while a process is in it.
    pub(crate) fn remove(&self) {
        self.remove_groups();
        self.forget();
    }

    /// The bundle outlives the groups for a while.
    pub(crate) fn remove_groups(&self) {
        group_support::remove(std::slice::from_ref(&self.group));
        assert!(!self.group.exists(), "a process is in it");
    }

    fn forget(&self) {
        group_support::remove(std::slice::from_ref(&self.group));
        // The pod's group, and those above it as long as they are empty.
        let above = self.group.ancestors().skip(1);
        for directory in above.take_while(|directory| directory.to_string_lossy().contains("kubepods")) {
            std::fs::remove_dir(directory).ok();
        }
        std::fs::remove_dir_all(&self.bundle).ok();
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.forget();
    }
}
