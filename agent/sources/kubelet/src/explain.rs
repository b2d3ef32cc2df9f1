//! What `agent doctor` says of the kubelet.

use std::path::Path;

use super::allocation::points;
use super::client::{Client, Error};
use super::{Settings, TIMEOUT};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Timestamp, key};
use accelscope_core::sampler::{Finding, Level};

/// Roots of distributions that do not use the default: MicroK8s (unless its `/var/lib/kubelet` link is there), k0s, RKE
/// on operating systems with a read-only `/var/lib`, k3s before 0.10.
const OTHER_ROOTS: [&str; 4] = [
    "/var/snap/microk8s/common/var/lib/kubelet",
    "/var/lib/k0s/kubelet",
    "/opt/rke/var/lib/kubelet",
    "/var/lib/rancher/k3s/agent/kubelet",
];

/// Asks it once, as the sampler does.
pub fn explain(roots: &HostRoots, settings: &Settings) -> Finding {
    let client = Client::new(roots.clone(), settings.socket(), TIMEOUT);
    match client.list() {
        Ok((response, _)) => {
            let (points, skipped) = points(&response, Timestamp::now());
            let claimed = points
                .iter()
                .filter(|point| point.attributes.get(key::ACCEL_RESOURCE_NAME).is_none());
            let what = format!(
                "{} tells of {} allocated devices, {} of them by claims (DRA)",
                settings.socket().display(),
                points.len() as u64 + skipped,
                claimed.count(),
            );
            finding(Level::Ok, what, None)
        }
        Err(error) => failure(roots, settings, &error),
    }
}

fn failure(roots: &HostRoots, settings: &Settings, error: &Error) -> Finding {
    let cause = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    let what = format!("{error}{cause}");
    match error {
        Error::Absent { .. } => match elsewhere(roots, &settings.root) {
            Some(root) => finding(
                Level::Warn,
                format!("{what}, but one at {root}"),
                Some(format!("set kubelet.root = {root:?}")),
            ),
            None => finding(
                Level::Nothing,
                what,
                Some(format!(
                    "where Kubernetes runs, set kubelet.root to the kubelet's --root-dir, and in a container mount the \
                     host's {}/pod-resources below host.root",
                    settings.root.display()
                )),
            ),
        },
        Error::Forbidden { .. } => finding(
            Level::Warn,
            what,
            Some(
                "to see which pod has which device, run as root (a connection needs the right to write to the socket), \
                 and with SELinux as spc_t"
                    .to_owned(),
            ),
        ),
        Error::NoSocket { .. } => finding(
            Level::Warn,
            what,
            Some("set kubelet.root to the kubelet's --root-dir".to_owned()),
        ),
        Error::TooOld { .. } => finding(
            Level::Warn,
            what,
            Some("upgrade Kubernetes, or set kubelet.enabled = false".to_owned()),
        ),
        Error::Silent { .. } | Error::Slow { .. } | Error::Connection { .. } | Error::Refused { .. } => finding(
            Level::Warn,
            what,
            Some("see whether the kubelet runs (systemctl status kubelet)".to_owned()),
        ),
        Error::Runtime(_) => finding(
            Level::Warn,
            what,
            Some("raise the limit of open files of the agent".to_owned()),
        ),
    }
}

/// Another root with a socket.
fn elsewhere(roots: &HostRoots, root: &Path) -> Option<&'static str> {
    let has_one = |other: &&str| roots.find(Path::new(other).join("pod-resources/kubelet.sock")).is_ok();
    std::iter::once(super::DEFAULT_ROOT)
        .chain(OTHER_ROOTS)
        .filter(|other| Path::new(other) != root)
        .find(has_one)
}

fn finding(level: Level, what: String, remedy: Option<String>) -> Finding {
    Finding { level, what, remedy }
}
