//! The manifests as a user's overlay has them, judged by the API server.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::cluster::Cluster;

/// A folder with an overlay of the base and these components.
pub(crate) fn overlay(cluster: &Cluster, components: &[&str]) -> String {
    let overlay = cluster.path(&format!("overlay-{}", components.join("-")));
    std::fs::create_dir(&overlay).unwrap();
    let up = "../".repeat(overlay.canonicalize().unwrap().components().count() - 1);
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/kustomize")
        .canonicalize()
        .unwrap();
    let deploy = format!("{up}{}", deploy.display());
    let components: Vec<_> = components
        .iter()
        .map(|name| format!("{deploy}/components/{name}"))
        .collect();
    let text = json!({"namespace": "accelscope", "resources": [format!("{deploy}/base")], "components": components});
    std::fs::write(overlay.join("kustomization.yaml"), text.to_string()).unwrap();
    overlay.display().to_string()
}

/// The DaemonSet's pod, as the API server would store it. Its namespace has to be there.
fn pod(cluster: &Cluster, components: &[&str]) -> Json {
    let overlay = overlay(cluster, components);
    let arguments = [
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-o",
        "json",
        "-k",
        &overlay,
    ];
    let list: Json = serde_json::from_str(&cluster.admin(&arguments)).unwrap();
    let items = list["items"].as_array().unwrap();
    let daemon_set = items.iter().find(|item| item["kind"] == "DaemonSet").unwrap();
    daemon_set["spec"]["template"]["spec"].clone()
}

fn capabilities(pod: &Json) -> Vec<&str> {
    let added = &pod["containers"][0]["securityContext"]["capabilities"]["add"];
    let mut added: Vec<&str> = added
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    added.sort_unstable();
    added
}

fn variable<'a>(pod: &'a Json, name: &str) -> Option<&'a str> {
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

pub(crate) fn every_component_gives_what_it_says(cluster: &Cluster) {
    const LEAST: [&str; 3] = ["DAC_READ_SEARCH", "SYSLOG", "SYS_PTRACE"];
    const BASE: [&str; 5] = ["BPF", "DAC_READ_SEARCH", "PERFMON", "SYSLOG", "SYS_PTRACE"];
    const ADMIN: [&str; 6] = ["BPF", "DAC_READ_SEARCH", "PERFMON", "SYSLOG", "SYS_ADMIN", "SYS_PTRACE"];
    assert_eq!(capabilities(&pod(cluster, &[])), BASE);
    assert_eq!(capabilities(&pod(cluster, &["sys-admin"])), ADMIN);

    let without = pod(cluster, &["no-ebpf"]);
    assert_eq!(capabilities(&without), LEAST);
    assert_eq!(variable(&without, "ACCELSCOPE__IOCTL__HOOKS"), Some("scan"));

    let nvidia = pod(cluster, &["nvidia"]);
    assert_eq!(capabilities(&nvidia), BASE);
    assert_eq!(nvidia["runtimeClassName"], "nvidia");
    assert_eq!(variable(&nvidia, "NVIDIA_VISIBLE_DEVICES"), Some("all"));
    // The toolkit starts no container that has it and not SYS_ADMIN.
    assert_eq!(variable(&nvidia, "NVIDIA_MIG_MONITOR_DEVICES"), None);

    let instances = pod(cluster, &["nvidia", "nvidia-mig"]);
    assert_eq!(capabilities(&instances), ADMIN);
    assert_eq!(instances["runtimeClassName"], "nvidia");
    assert_eq!(variable(&instances, "NVIDIA_MIG_MONITOR_DEVICES"), Some("all"));

    let privileged = pod(cluster, &["nvidia-privileged"]);
    assert_eq!(privileged["containers"][0]["securityContext"]["privileged"], true);
    assert_eq!(privileged["runtimeClassName"], Json::Null);
}
