//! What a pod's manifest tells by variables of other names than the agent's: every setting of the user's wins over it.

use super::layers::{Layer, Leaf, Raw};
use super::resource::{K8S_CLUSTER_NAME, K8S_NODE_NAME};
use super::{Environment, Origin};

/// Set in every container of a pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// The replaced Ascend collector's interval in seconds.
const COLLECT_INTERVAL: &str = "COLLECT_INTERVAL";

/// Seconds below which it is not honoured.
const SHORTEST: u64 = 3;

/// The attributes of the downward API's variables.
pub(super) fn variables(env: &Environment) -> Layer {
    // Elsewhere `NODE_NAME` means other things: a build server's worker, for one.
    let in_cluster = env.get(IN_CLUSTER).is_some();
    let variables = [
        ("NODE_NAME", K8S_NODE_NAME),
        ("K8S_NODE_NAME", K8S_NODE_NAME),
        ("K8S_CLUSTER_NAME", K8S_CLUSTER_NAME),
    ];
    let interval = env.get(COLLECT_INTERVAL).and_then(Result::ok).map(|seconds| {
        let key = ["compat", "k8s_monitor", "interval"].map(str::to_owned).to_vec();
        // The replaced collector took bare seconds.
        let text = match seconds.trim().parse::<u64>() {
            // Manifests written for the replaced collector keep working, whatever they ask.
            Ok(seconds) => format!("{}s", seconds.max(SHORTEST)),
            Err(_) => seconds.to_owned(),
        };
        (
            key,
            Leaf {
                raw: Raw::Text(text),
                origin: Origin::Variable(COLLECT_INTERVAL.into()),
            },
        )
    });
    let attributes = variables
        .into_iter()
        .filter(|(name, _)| in_cluster || *name != "NODE_NAME")
        .filter_map(|(name, key)| {
            let raw = Raw::Text(env.get(name)?.ok()?.trim().to_owned());
            let origin = Origin::Variable(name.into());
            Some((vec!["resource".to_owned(), key.to_owned()], Leaf { raw, origin }))
        });
    attributes.chain(interval).collect()
}
