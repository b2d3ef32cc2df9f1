//! The node annotation, its role and its admission policy with a real API server.
#![cfg(feature = "k8s-annotation")]
#![allow(clippy::unwrap_used, reason = "a peer that cannot be set up is a failed test")]

mod cluster;
mod manifests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::metric::MetricsSource;
use accelscope_core::metric::{Attributes, Instrument, Kind, Merge, Resource, Series, Stability, Timestamp, Value};
use accelscope_export::node_annotation::{ApiServer, KEY, NodeAnnotation, NodeName, Settings};
use http::Method;
use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use cluster::{Bearer, Cluster};

static TEMPERATURE: Instrument = Instrument {
    name: "hw.temperature",
    unit: "Cel",
    kind: Kind::Gauge,
    attributes: &[],
    description: "",
    owned: false,
    merge: Merge::Sum,
    stability: Stability::Development,
};

/// One chip of constant temperature.
#[derive(Default)]
struct Chip(Resource);

impl MetricsSource for Chip {
    fn series(&self) -> Vec<Series> {
        vec![Series {
            instrument: &TEMPERATURE,
            attributes: Arc::new(Attributes::new([
                ("ascend.npu.id", 4i64.into()),
                ("ascend.chip.id", 0i64.into()),
            ])),
            value: Some(Value::Int(41)),
            time: Timestamp::now(),
            start: None,
        }]
    }

    fn resource(&self) -> &Resource {
        &self.0
    }
}

fn node(name: &str) -> Json {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"pool": "npu"}, "annotations": {"somebody.example/else": "theirs"}},
        "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "npu", "effect": "NoSchedule"}]},
    })
}

/// A token as the kubelet mounts it into the agent's pod on `node-1`, and one that is bound to no pod.
fn tokens(cluster: &Cluster) -> [PathBuf; 2] {
    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "agent-1", "namespace": "accelscope"},
        "spec": {"serviceAccountName": "accelscope-agent", "nodeName": "node-1", "containers": [{"name": "a", "image": "a"}]},
    }));
    let create = ["--namespace=accelscope", "create", "token", "accelscope-agent"];
    let bound = ["--bound-object-kind=Pod", "--bound-object-name=agent-1"];
    let write = |name: &str, token: String| {
        let path = cluster.path(name);
        std::fs::write(&path, token).unwrap();
        path
    };
    [
        write("token", cluster.admin(&[&create[..], &bound].concat())),
        write("unbound", cluster.admin(&create)),
    ]
}

fn annotate(value: &str) -> Json {
    json!({"metadata": {"annotations": {KEY: value}}})
}

async fn patched(who: &Bearer, path: &str, patch: &Json) -> (u16, String) {
    who.ask(Method::PATCH, path, Some(patch)).await
}

/// Time that the removal may take (`REMOVAL` in `node_annotation/writer.rs`): a stop that took less was not cut short.
const REMOVAL: Duration = Duration::from_millis(2500);
/// How often a stop is tried on a machine that leaves it no time.
const TRIES: usize = 5;

const OWN: &str = "/api/v1/nodes/node-1";

/// A policy takes effect some time after it was written.
async fn until_enforced(agent: &Bearer) {
    let end = Instant::now() + cluster::PATIENCE;
    let label = json!({"metadata": {"labels": {"pool": "other"}}});
    while patched(agent, &format!("{OWN}?dryRun=All"), &label).await.0 != 403 {
        assert!(Instant::now() < end, "the policy is not in force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Changes to the agent's own node that the policy forbids.
fn forbidden() -> Vec<(&'static str, Json)> {
    let with = |mut patch: Json| {
        patch["metadata"]["annotations"][KEY] = "{}".into();
        patch
    };
    vec![
        ("a label", json!({"metadata": {"labels": {"pool": "other"}}})),
        (
            "a new label",
            json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
        ),
        ("no labels at all", json!({"metadata": {"labels": null}})),
        (
            "another annotation",
            json!({"metadata": {"annotations": {"somebody.example/else": "mine"}}}),
        ),
        (
            "one more annotation",
            json!({"metadata": {"annotations": {"somebody.example/more": "mine"}}}),
        ),
        (
            "another's annotation removed",
            json!({"metadata": {"annotations": {"somebody.example/else": null}}}),
        ),
        ("no annotations at all", json!({"metadata": {"annotations": null}})),
        (
            "the annotation and a label",
            with(json!({"metadata": {"labels": {"pool": "other"}}})),
        ),
        (
            "a finalizer",
            json!({"metadata": {"finalizers": ["somebody.example/hold"]}}),
        ),
        (
            "an owner",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-2", "uid": "u"}]}}),
        ),
        ("cordoned", json!({"spec": {"unschedulable": true}})),
        ("untainted", json!({"spec": {"taints": null}})),
        ("too long", annotate(&"x".repeat((128 << 10) + 1))),
    ]
}

#[tokio::test]
async fn the_account_may_change_this_annotation_of_its_own_node_and_nothing_else() {
    let Some(programs) = cluster::programs() else { return };
    let cluster = Cluster::start(programs);
    // The namespace must exist before a request for its content can be judged.
    let overlay = manifests::overlay(&cluster, &["k8s-monitor-annotation"]);
    cluster.admin(&["apply", "--validate=strict", "-k", &overlay]);
    manifests::every_component_gives_what_it_says(&cluster);
    for name in ["node-1", "node-2"] {
        cluster.apply(&node(name));
    }
    let [token, unbound] = tokens(&cluster);
    let agent = cluster.bearer(&token);
    until_enforced(&agent).await;

    let mut is_played = false;
    for _ in 0..TRIES {
        is_played = is_played || writes_and_removes(&cluster, token.clone()).await.is_some();
    }
    assert!(is_played, "every stop took {REMOVAL:?} or more");

    let (status, body) = patched(&agent, OWN, &annotate(&"x".repeat(128 << 10))).await;
    assert_eq!(status, 200, "{body}");
    let refused_by_policy = async |who: &Bearer, what: &str, path: &str, patch: &Json| {
        let (status, body) = patched(who, path, patch).await;
        assert_eq!(status, 403, "{what} of {path}: {body}");
        assert!(body.contains("ValidatingAdmissionPolicy"), "{what} of {path}: {body}");
    };
    for (what, patch) in &forbidden() {
        refused_by_policy(&agent, what, OWN, patch).await;
    }
    refused_by_policy(&agent, "the annotation", "/api/v1/nodes/node-2", &annotate("{}")).await;
    // A stolen account without a pod has no node.
    refused_by_policy(&cluster.bearer(&unbound), "the annotation", OWN, &annotate("{}")).await;

    let status_patch = json!({"status": {"capacity": {"cpu": "1"}}});
    let nodes_status = format!("{OWN}/status");
    let by_role: [(Method, &str, Option<&Json>); 6] = [
        (Method::GET, OWN, None),
        (Method::GET, "/api/v1/nodes", None),
        (Method::DELETE, "/api/v1/nodes/node-2", None),
        (Method::PATCH, &nodes_status, Some(&status_patch)),
        (Method::GET, "/api/v1/secrets", None),
        (Method::GET, "/api/v1/namespaces/accelscope/pods", None),
    ];
    for (method, path, patch) in by_role {
        let (status, body) = agent.ask(method.clone(), path, patch).await;
        assert_eq!(status, 403, "{method} {path}: {body}");
        assert!(
            !body.contains("ValidatingAdmissionPolicy"),
            "the role grants {method} {path}: {body}"
        );
    }

    // Even with every right, the policy holds.
    let administrator = ["create", "clusterrolebinding", "mistake", "--clusterrole=cluster-admin"];
    cluster.admin(&[&administrator[..], &["--serviceaccount=accelscope:accelscope-agent"]].concat());
    let end = Instant::now() + cluster::PATIENCE;
    while agent.ask(Method::GET, OWN, None).await.0 != 200 {
        assert!(Instant::now() < end, "the binding is not in force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (what, patch) in &forbidden() {
        refused_by_policy(&agent, what, OWN, patch).await;
    }
    refused_by_policy(&agent, "its status", &nodes_status, &status_patch).await;
    let (status, body) = agent.ask(Method::DELETE, OWN, None).await;
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("ValidatingAdmissionPolicy"), "{body}");
}

/// `None` where the removal took so long that it may have been cut short.
async fn writes_and_removes(cluster: &Cluster, token: PathBuf) -> Option<()> {
    let server = ApiServer {
        url: cluster.url.clone(),
        ca_file: Some(cluster.path("ca.crt")),
        token_file: Some(token),
    };
    let settings = Settings::new(NodeName::new("node-1").unwrap(), server, Duration::from_secs(3));
    let (stop, stopped) = oneshot::channel::<()>();
    let writer = NodeAnnotation::new(&settings, Arc::new(Chip::default())).unwrap();
    let running = tokio::spawn(writer.run(async { drop(stopped.await) }));

    let annotations = || {
        let node: Json = serde_json::from_str(&cluster.admin(&["get", "node", "node-1", "-o", "json"])).unwrap();
        node["metadata"]["annotations"].clone()
    };
    let end = Instant::now() + cluster::PATIENCE;
    while annotations()[KEY].is_null() {
        assert!(Instant::now() < end, "nothing was written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let text: Json = serde_json::from_str(annotations()[KEY].as_str().unwrap()).unwrap();
    assert_eq!(text["chips"][0]["temp"], 41);
    assert_eq!(text["chips"][0]["npu"], 4);

    let asked = Instant::now();
    stop.send(()).unwrap();
    running.await.unwrap();
    if asked.elapsed() >= REMOVAL {
        cluster.admin(&["annotate", "node", "node-1", &format!("{KEY}-")]);
        return None;
    }
    let left = annotations();
    assert!(left[KEY].is_null(), "the annotation outlives the agent: {left}");
    assert_eq!(left["somebody.example/else"], "theirs");
    Some(())
}
