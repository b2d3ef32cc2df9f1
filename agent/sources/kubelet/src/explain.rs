//! Findings of `agent doctor` about the kubelet.

use std::path::Path;

use super::allocation::points;
use super::client::{Client, Error};
use super::pods::PodUids;
use super::settings::{DEFAULT_ROOT, NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Timestamp, key};
use accelscope_core::sampler::Finding;

/// Roots of distributions that do not use the default: MicroK8s (unless its `/var/lib/kubelet` link is there), k0s, RKE
/// on operating systems with a read-only `/var/lib`, k3s before 0.10.
const OTHER_ROOTS: [&str; 4] = [
    "/var/snap/microk8s/common/var/lib/kubelet",
    "/var/lib/k0s/kubelet",
    "/opt/rke/var/lib/kubelet",
    "/var/lib/rancher/k3s/agent/kubelet",
];

/// Calls the kubelet once, as the sampler does.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Finding {
    let client = Client::new(roots.clone(), settings.socket());
    match client.list() {
        Ok((response, _)) => {
            let (points, skipped) = points(&response, &[], &PodUids::default(), Timestamp::now());
            let claimed = points
                .iter()
                .filter(|point| point.attributes.get(key::ACCEL_RESOURCE_NAME).is_none());
            let what = format!(
                "{} tells of {} allocated devices, {} of them by claims (DRA)",
                settings.socket().display(),
                points.len() as u64 + skipped,
                claimed.count(),
            );
            Finding::ok(NAME, what)
        }
        Err(error) => failure(roots, settings, &error),
    }
}

fn failure(roots: &HostRoots, settings: &Settings, error: &Error) -> Finding {
    let cause = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    let what = format!("{error}{cause}");
    let remedy = match error {
        Error::Absent(..) => {
            if let Some(root) = elsewhere(roots, &settings.root) {
                return Finding::warn(NAME, format!("{what}, but one at {root}"))
                    .with_remedy(format!("set kubelet.root = {root:?}"));
            }
            return Finding::nothing(NAME, what).with_remedy(format!(
                "where Kubernetes runs, set kubelet.root to the kubelet's --root-dir, and in a container mount the \
                 host's {}/pod-resources below host.root",
                settings.root.display()
            ));
        }
        Error::Forbidden(..) => {
            "to see which pod has which device, run as root (a connection needs the right to write to the socket), and \
             with SELinux as spc_t"
        }
        Error::NoSocket(_) => "set kubelet.root to the kubelet's --root-dir",
        Error::TooOld(_) => "upgrade Kubernetes, or set kubelet.enabled = false",
        Error::Silent(..) | Error::Slow(_) | Error::Connection(..) | Error::Refused(..) => {
            "see whether the kubelet runs (systemctl status kubelet)"
        }
        Error::Runtime(_) => "raise the limit of open files of the agent",
    };
    Finding::warn(NAME, what).with_remedy(remedy)
}

/// Another root directory with a socket.
fn elsewhere(roots: &HostRoots, root: &Path) -> Option<&'static str> {
    let has_one = |other: &&str| roots.find(Path::new(other).join("pod-resources/kubelet.sock")).is_ok();
    std::iter::once(DEFAULT_ROOT)
        .chain(OTHER_ROOTS)
        .filter(|other| Path::new(other) != root)
        .find(has_one)
}
