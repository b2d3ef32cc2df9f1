//! Layer of variables with other names than the agent's, set in the manifests of pods. Every setting of the user takes
//! precedence.

use super::layers::{Layer, Leaf, Raw};
use super::resource::{K8S_CLUSTER_NAME, K8S_NODE_NAME};
use super::{Environment, Origin};

/// Set by Kubernetes in every container of a pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Interval of the replaced Ascend collector, in seconds.
const COLLECT_INTERVAL: &str = "COLLECT_INTERVAL";

/// Shortest interval in seconds; shorter ones are raised to it.
const SHORTEST: u64 = 3;

/// Layer of the downward API's variables.
pub(super) fn variables(env: &Environment) -> Layer {
    // Outside a cluster `NODE_NAME` has other meanings, such as a build server's worker.
    let in_cluster = env.get(IN_CLUSTER).is_some();
    let variables = [
        ("NODE_NAME", K8S_NODE_NAME),
        ("K8S_NODE_NAME", K8S_NODE_NAME),
        ("K8S_CLUSTER_NAME", K8S_CLUSTER_NAME),
    ];
    let interval = env.get(COLLECT_INTERVAL).and_then(Result::ok).map(|seconds| {
        let key = ["compat", "k8s_monitor", "interval"].map(str::to_owned).to_vec();
        // The replaced collector took a number without unit.
        let text = match seconds.trim().parse::<u64>() {
            // Manifests written for the replaced collector stay valid with any interval.
            Ok(seconds) => format!("{}s", seconds.max(SHORTEST)),
            Err(_) => seconds.to_owned(),
        };
        (
            key,
            Leaf::new(Raw::Text(text), Origin::Variable(COLLECT_INTERVAL.into())),
        )
    });
    let attributes = variables
        .into_iter()
        .filter(|(name, _)| in_cluster || *name != "NODE_NAME")
        .filter_map(|(name, key)| {
            let raw = Raw::Text(env.get(name)?.ok()?.trim().to_owned());
            let origin = Origin::Variable(name.into());
            Some((vec!["resource".to_owned(), key.to_owned()], Leaf::new(raw, origin)))
        });
    attributes.chain(interval).collect()
}
