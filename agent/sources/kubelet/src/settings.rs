//! Settings of the source.

use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(super) const NAME: &str = "kubelet";
/// Default of the kubelet's `--root-dir`.
pub(super) const DEFAULT_ROOT: &str = "/var/lib/kubelet";

settings! {
    /// The node's kubelet: which pod was given which device, by a device plugin or by a claim (DRA), even while it is idle.
    pub struct Settings {
        /// "auto": ask it where it has a socket that the agent may use, and be quiet where there is none. true: it is an error
        /// if it cannot be asked. false: do not ask.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Path of the host: the kubelet's --root-dir, in which it has pod-resources/kubelet.sock. The default is that of
        /// kubeadm, k3s, RKE2, OpenShift and the cloud providers. MicroK8s: "/var/snap/microk8s/common/var/lib/kubelet";
        /// k0s: "/var/lib/k0s/kubelet"; RKE where /var/lib is read-only: "/opt/rke/var/lib/kubelet".
        #[serde(with = "text")]
        pub root: PathBuf = DEFAULT_ROOT.into(),
        /// Duration, 1s to 1h: time between two requests.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(10),
    }
}

impl Settings {
    /// The socket of the PodResources API, as a path of the host.
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("pod-resources/kubelet.sock")
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between("period", self.period, Duration::from_secs(1), Duration::from_hours(1));
        check.absolute("root", &self.root);
    }
}
