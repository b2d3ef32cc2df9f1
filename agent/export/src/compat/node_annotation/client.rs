//! Client of the API server for one annotation of one node.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tonic::body::Body;

use super::api_server::Connections;
use super::settings::{KEY, MANIFESTS, NodeName, Settings, SettingsError};
use crate::backoff::retry_after;

/// Largest response that is read, in bytes. A node's metadata is a few kilobytes, an error less.
const MAX_ANSWER: usize = 1 << 20;
/// Largest error message that is logged, in bytes.
const MAX_MESSAGE: usize = 512;

/// The API server's description of a failure (`meta/v1 Status`).
#[derive(Deserialize)]
struct Status {
    message: String,
}

/// Writes one annotation of one node.
pub(super) struct NodeClient {
    connections: Connections,
    pub(super) node: NodeName,
    pub(super) deadline: Duration,
}

/// A request without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API server refuses it; a repetition will be refused too.
    #[error("the API server refuses: {status}: {message}")]
    Refused { status: StatusCode, message: String },
    /// The API server cannot do it at present.
    #[error("the API server answers {status}: {message}")]
    Failed {
        status: StatusCode,
        message: String,
        retry_after: Option<Duration>,
    },
    /// No response in time.
    #[error("the API server has not answered within {0:?}")]
    Deadline(Duration),
    /// The connection could not be made, or broke.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl NodeClient {
    /// Must be called in a Tokio runtime, where the client keeps its connection in a task.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            connections: Connections::new(settings.server.clone()).map_err(SettingsError::Client)?,
            node: settings.node.clone(),
            deadline: settings.deadline,
        })
    }

    /// Sets or removes the annotation by a merge patch, which requires the permission to patch and no other.
    pub(super) async fn patch(&mut self, value: Option<&str>, within: Duration) -> Result<(), Failure> {
        let result = match tokio::time::timeout(within, self.send(value)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Deadline(within)),
        };
        if let Err(Failure::Deadline(_) | Failure::Unreachable(_)) = &result {
            self.connections.reconnect();
        }
        result
    }

    async fn send(&mut self, value: Option<&str>) -> Result<(), Failure> {
        let patch = json!({ "metadata": { "annotations": { KEY: value } } }).to_string();
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!("/api/v1/nodes/{}?fieldManager=accelscope-agent", self.node))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            // The metadata only: a whole node lists all its images.
            .header(
                ACCEPT,
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
            )
            .body(Body::new(Full::from(patch)))
            .map_err(|error| Failure::Unreachable(error.into()))?;
        let response = self.connections.send(request).await.map_err(Failure::Unreachable)?;
        outcome(response).await
    }
}

async fn outcome(response: Response<Incoming>) -> Result<(), Failure> {
    let (head, body) = response.into_parts();
    // Read to the end, so that the connection can be reused.
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    if head.status.is_success() {
        return Ok(());
    }
    let text = body.map(Collected::to_bytes).unwrap_or_default();
    let status: Option<Status> = serde_json::from_slice(&text).ok();
    let message = match status {
        Some(status) => status.message,
        None => String::from_utf8_lossy(&text).into_owned(),
    };
    let message = message[..message.floor_char_boundary(MAX_MESSAGE)].to_owned();
    let status = head.status;
    // 409: other clients write nodes too, and the server gave up after merging five times.
    let temporary = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT
        );
    Err(if temporary {
        let retry_after = retry_after(&head.headers);
        Failure::Failed {
            status,
            message,
            retry_after,
        }
    } else {
        Failure::Refused { status, message }
    })
}

impl Failure {
    /// Value of `agent.outcome`.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Failed { .. } | Self::Unreachable(_) => "failed",
            Self::Deadline(_) => "deadline",
        }
    }

    /// The server's `Retry-After`.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Kind of the failure, for the rate limit of the log, and the remedy.
    pub(super) fn explain(&self) -> (&'static str, String) {
        let Self::Refused { status, message } = self else {
            let remedy = "it is repeated; see the API server and the network policy between it and this node";
            return (self.outcome(), remedy.to_owned());
        };
        match *status {
            StatusCode::UNAUTHORIZED => (
                "unauthorized",
                format!(
                    "the ServiceAccount's token is not accepted: see that {MANIFESTS} is applied and restart the pod; if \
                     it stays so, the API server does not know the token's issuer or audience"
                ),
            ),
            StatusCode::FORBIDDEN if message.contains("ValidatingAdmissionPolicy") => (
                "policy",
                format!(
                    "the admission policy of {MANIFESTS} lets an agent change this annotation of its own node only: see \
                     that NODE_NAME is the field spec.nodeName, and that the token carries the node's name (Kubernetes \
                     1.30 and newer put it in)"
                ),
            ),
            StatusCode::FORBIDDEN => (
                "forbidden",
                format!("the ServiceAccount may not patch nodes: apply {MANIFESTS}"),
            ),
            StatusCode::NOT_FOUND => (
                "no such node",
                "no node has that name: set NODE_NAME to the field spec.nodeName".to_owned(),
            ),
            _ => (
                "refused",
                "see the API server's words, and what admits changes of nodes in this cluster".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Failure {
        Failure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_missing_role_and_a_policys_refusal_are_distinguished() {
        // kube-apiserver 1.34.4, word for word.
        let role = refused(
            403,
            r#"nodes "n1" is forbidden: User "system:serviceaccount:accelscope:accelscope-agent" cannot patch resource "nodes" in API group "" at the cluster scope"#,
        );
        let remedy = |failure: Failure| failure.explain().1;
        assert!(remedy(role).contains("apply deploy/kustomize/components/k8s-monitor-annotation"));
        let policy = refused(
            403,
            r#"nodes "n2" is forbidden: ValidatingAdmissionPolicy 'accelscope-agent-node-annotation' with binding 'accelscope-agent-node-annotation' denied request: the agent's account may change the node that its pod runs on and no other"#,
        );
        assert!(remedy(policy).contains("NODE_NAME"));
        assert!(remedy(refused(404, "")).contains("NODE_NAME"));
        assert!(remedy(refused(401, "")).contains("token"));
    }
}
