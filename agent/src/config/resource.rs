//! Resource of the agent: detected attributes of the agent and its host, overridden by configured ones.

use uuid::{Uuid, uuid};

use super::Config;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{AttributeValue, Resource};

/// Name of the node in its cluster.
pub const K8S_NODE_NAME: &str = "k8s.node.name";
/// Name of the cluster.
pub const K8S_CLUSTER_NAME: &str = "k8s.cluster.name";

/// Whether the accelerators are made up.
pub const DEMO: &str = "accelscope.demo";

/// Limit in bytes of the file with the host's name, which has at most 64 (hostname(5)).
const MAX_HOST_NAME: usize = 4096;

const PRODUCT: &str = "accelscope";
/// Namespace that the conventions fix for instance ids made of other identifiers (semantic conventions,
/// `service.instance.id`).
const INSTANCE_NAMESPACE: Uuid = uuid!("4d63009a-8d0f-11ee-aad7-4c796ed8e320");

/// The agent's resource. Attributes that cannot be detected are absent; an empty value in `[resource]` removes a
/// detected one.
pub fn build(config: &Config, roots: &HostRoots) -> Resource {
    let mut resource = Resource::default();
    let machine_id = roots.machine_id();
    let host_name = host_name(config, roots);
    let node = text(config, K8S_NODE_NAME).or_else(|| host_name.clone());

    resource.set("service.name", PRODUCT);
    resource.set("service.version", env!("CARGO_PKG_VERSION"));
    resource.set("host.arch", arch());
    resource.set("os.type", std::env::consts::OS);
    if machine_id.is_some() || node.is_some() {
        let [machine, node] = [&machine_id, &node].map(|part| part.as_deref().unwrap_or_default());
        let name = format!("{PRODUCT}\0{machine}\0{node}");
        let id = Uuid::new_v5(&INSTANCE_NAMESPACE, name.as_bytes());
        resource.set("service.instance.id", id.to_string());
    }
    if let Some(name) = host_name {
        resource.set("host.name", name);
    }
    if let Some(id) = machine_id {
        resource.set("host.id", id);
    }
    for (key, value) in &config.resource {
        match value {
            AttributeValue::Str(text) if text.is_empty() => resource.remove(key),
            value => resource.set(key, value.clone()),
        }
    }
    resource
}

/// Marks the resource of an agent that measures made-up accelerators: receivers must not take them for the host's, nor the
/// agent for the one that measures those.
pub fn mark_demo(resource: &mut Resource) {
    let real = resource.get("service.instance.id").map(ToString::to_string);
    let name = format!("{PRODUCT}\0demo\0{}", real.unwrap_or_default());
    let id = Uuid::new_v5(&INSTANCE_NAMESPACE, name.as_bytes());
    resource.set("service.instance.id", id.to_string());
    resource.set(DEMO, true);
}

fn text(config: &Config, key: &str) -> Option<String> {
    let text = config.resource.get(key)?.to_string();
    (!text.is_empty()).then_some(text)
}

/// In a container `uname` returns the pod's name, so there the host's own file and the node's name come first.
fn host_name(config: &Config, roots: &HostRoots) -> Option<String> {
    let uname = || rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    let file = || {
        let name = roots.read_answering("/etc/hostname", MAX_HOST_NAME).ok()?;
        Some(String::from_utf8(name).ok()?.trim().to_owned())
    };
    let known = |name: &String| !name.is_empty();
    if config.host.root.as_os_str() == "/" {
        return uname().filter(known);
    }
    file()
        .filter(known)
        .or_else(|| text(config, K8S_NODE_NAME))
        .or_else(uname)
        .filter(known)
}

/// Architecture by the values of `host.arch` (semantic conventions, host).
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}
