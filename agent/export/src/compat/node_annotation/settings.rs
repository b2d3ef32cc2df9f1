//! Settings of the node annotation: node, API server, interval.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{AuthInfo, Config, InClusterError};

use crate::backoff::RetryPolicy;

/// The annotation's key.
pub const KEY: &str = "k8s-monitor.io/npu-metrics";

/// Manifests that grant the writes, for messages.
pub(super) const MANIFESTS: &str = "deploy/kustomize/components/k8s-monitor-annotation";

/// Deadline of one request, from the connection to the end of its response.
const DEADLINE: Duration = Duration::from_secs(10);

/// Settings of the annotation's writer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node that is annotated.
    pub node: NodeName,
    /// The API server.
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
    NotInCluster(#[source] Box<InClusterError>),
    /// The address of the API server is invalid.
    #[error("{0:?} is no address of an API server: write https://HOST:PORT")]
    Address(String, #[source] http::uri::InvalidUri),
    /// The certificates or the token are unusable.
    #[error("no connection to the API server can be made of the ServiceAccount's files: apply {MANIFESTS} again")]
    Client(#[source] Box<kube::Error>),
}

/// The API server and its credentials.
#[derive(Debug, Clone)]
pub enum ApiServer {
    /// That of the pod's cluster, with the pod's ServiceAccount.
    InCluster,
    /// Any other one.
    At {
        /// `https://HOST:PORT`
        url: String,
        /// Trusted certificates, PEM, read again when they change; the system's without it.
        ca_file: Option<PathBuf>,
        /// The bearer token, read again when it changes.
        token_file: Option<PathBuf>,
    },
}

impl Settings {
    /// Settings for a node of the pod's cluster.
    pub fn in_cluster(node: NodeName, interval: Duration) -> Self {
        Self {
            node,
            server: ApiServer::InCluster,
            interval,
            deadline: DEADLINE,
            // A thousand nodes that are all refused send about ten requests a second together.
            retry: RetryPolicy::new(Duration::from_secs(1), Duration::from_mins(1), Duration::from_mins(2))
                .unwrap_or_default(),
        }
    }

    pub(super) fn config(&self) -> Result<Config, SettingsError> {
        match &self.server {
            ApiServer::InCluster => Config::incluster().map_err(|error| SettingsError::NotInCluster(Box::new(error))),
            ApiServer::At {
                url,
                ca_file,
                token_file,
            } => {
                let address = url
                    .parse()
                    .map_err(|error| SettingsError::Address(url.clone(), error))?;
                let mut config = Config::new(address);
                config.root_cert_file.clone_from(ca_file);
                config.auth_info = AuthInfo {
                    token_file: token_file.as_ref().map(|path| path.display().to_string()),
                    ..AuthInfo::default()
                };
                Ok(config)
            }
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
