//! Settings of the node annotation: node, API server, interval.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::backoff::RetryPolicy;

/// The annotation's key.
pub const KEY: &str = "k8s-monitor.io/npu-metrics";

/// Manifests that grant the writes, for messages.
pub(super) const MANIFESTS: &str = "deploy/kustomize/components/k8s-monitor-annotation";

/// Deadline of one request, from the connection to the end of its response.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Settings of the annotation's writer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node that is annotated.
    pub node: NodeName,
    /// The API server and its credentials.
    pub server: ApiServer,
    /// Least time between writes, plus or minus 10 %.
    pub interval: Duration,
    /// Deadline of one request.
    pub deadline: Duration,
    /// Waits after failed requests.
    pub retry: RetryPolicy,
}

/// Settings with which no annotation can be written.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The node's name is missing or invalid.
    #[error(
        "the node annotation needs the node's name, and {0:?} is none: set NODE_NAME to the field spec.nodeName, as \
         {MANIFESTS} does"
    )]
    Node(String),
    /// The agent runs outside a pod, or in one without its ServiceAccount's token.
    #[error(
        "the node annotation is on, and this is no pod with a ServiceAccount's token: apply {MANIFESTS}, or set \
         compat.k8s_monitor.annotation = false"
    )]
    NotInCluster(#[source] Box<dyn Error + Send + Sync>),
    /// The address of the API server is invalid.
    #[error("{0:?} is no address of an API server: see KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT")]
    Address(String, #[source] Box<dyn Error + Send + Sync>),
    /// The certificates or the token are unusable.
    #[error("no connection to the API server can be made of the ServiceAccount's files: apply {MANIFESTS} again")]
    Client(#[source] Box<dyn Error + Send + Sync>),
}

/// An API server and its credentials. The kubelet rotates both files: they are read for each request.
#[derive(Debug, Clone)]
pub struct ApiServer {
    /// `https://HOST:PORT`
    pub url: String,
    /// Trusted certificates in PEM. Without it only `http://` can be used.
    pub ca_file: Option<PathBuf>,
    /// The bearer token.
    pub token_file: Option<PathBuf>,
}

impl ApiServer {
    /// The API server of the pod's cluster, with the pod's ServiceAccount, found as client-go does
    /// (`rest.InClusterConfig`).
    pub fn in_cluster() -> Result<Self, SettingsError> {
        let variable = |name: &str| {
            std::env::var(name).map_err(|error| SettingsError::NotInCluster(format!("{name}: {error}").into()))
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let url = format!("https://{host}:{port}");
        if let Err(error) = port.parse::<u16>() {
            return Err(SettingsError::Address(url, error.into()));
        }
        if let Err(error) = url.parse::<http::Uri>() {
            return Err(SettingsError::Address(url, error.into()));
        }
        let account = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        let token = account.join("token");
        if let Err(error) = std::fs::metadata(&token) {
            return Err(SettingsError::NotInCluster(
                format!("{}: {error}", token.display()).into(),
            ));
        }
        Ok(Self {
            url,
            ca_file: Some(account.join("ca.crt")),
            token_file: Some(token),
        })
    }
}

impl Settings {
    /// Settings for a node of the pod's cluster, with the pod's ServiceAccount.
    pub fn in_cluster(node: NodeName, interval: Duration) -> Result<Self, SettingsError> {
        Ok(Self::new(node, ApiServer::in_cluster()?, interval))
    }

    /// Settings for a node of any cluster.
    pub fn new(node: NodeName, server: ApiServer, interval: Duration) -> Self {
        Self {
            node,
            server,
            interval,
            deadline: DEADLINE,
            // A thousand nodes that are all refused send about ten requests a second together.
            retry: RetryPolicy::new(Duration::from_secs(1), Duration::from_mins(1), Duration::from_mins(2))
                .unwrap_or_default(),
        }
    }
}

/// A valid name of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// Requires a DNS subdomain (RFC 1123), the form of every node's name.
    pub fn new(name: impl Into<String>) -> Result<Self, SettingsError> {
        let name = name.into();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        if bytes.len() <= 253 && bytes.iter().copied().all(allowed) && ends(bytes.first()) && ends(bytes.last()) {
            Ok(Self(name))
        } else {
            Err(SettingsError::Node(name))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_change_the_request_is_no_node() {
        for name in ["", "a/b", "..", "a?b", "A", "-a", "a ", &"a".repeat(254)] {
            assert!(NodeName::new(name).is_err(), "{name:?}");
        }
        for name in ["n1", "ip-10-0-0-1.eu-west-1.compute.internal"] {
            assert_eq!(NodeName::new(name).unwrap().to_string(), name);
        }
    }
}
