//! What Kubernetes tells a pod about its node: found out, so every setting of the user's wins over it.

use super::layers::{Layer, Leaf, Raw};
use super::resource::{K8S_CLUSTER_NAME, K8S_NODE_NAME};
use super::{Environment, Origin};

/// Set in every container of a pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// The attributes of the downward API's variables.
pub(super) fn variables(env: &Environment) -> Layer {
    // Elsewhere `NODE_NAME` means other things: a build server's worker, for one.
    let in_cluster = env.get(IN_CLUSTER).is_some();
    let variables = [
        ("NODE_NAME", K8S_NODE_NAME),
        ("K8S_NODE_NAME", K8S_NODE_NAME),
        ("K8S_CLUSTER_NAME", K8S_CLUSTER_NAME),
    ];
    variables
        .into_iter()
        .filter(|(name, _)| in_cluster || *name != "NODE_NAME")
        .filter_map(|(name, key)| {
            let raw = Raw::Text(env.get(name)?.ok()?.trim().to_owned());
            let origin = Origin::Variable(name.into());
            Some((vec!["resource".to_owned(), key.to_owned()], Leaf { raw, origin }))
        })
        .collect()
}
