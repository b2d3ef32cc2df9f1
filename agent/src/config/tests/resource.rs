use std::path::Path;

use super::{Given, env, sets};
use crate::config::resource::build;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Resource;

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

fn host(machine_id: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("etc")).expect("its /etc");
    std::fs::write(dir.path().join("etc/machine-id"), format!("{machine_id}\n")).expect("a file");
    std::fs::write(dir.path().join("etc/hostname"), "board\n").expect("a file");
    dir
}

fn built(given: &Given<'_>, root: &Path) -> Resource {
    let mut config = given.config();
    config.host.root = root.to_owned();
    build(&config, &HostRoots::new(root))
}

fn get(resource: &Resource, key: &str) -> String {
    resource.get(key).map(ToString::to_string).unwrap_or_default()
}

#[test]
fn it_is_found_out_through_the_hosts_root() {
    let host = host(MACHINE);
    let resource = built(&env(&[("K8S_NODE_NAME", "node-1")]), host.path());
    assert_eq!(get(&resource, "service.name"), "accelscope");
    assert_eq!(get(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(get(&resource, "host.name"), "board");
    assert_eq!(get(&resource, "host.id"), MACHINE);
    assert_eq!(get(&resource, "k8s.node.name"), "node-1");
    assert_eq!(get(&resource, "os.type"), "linux");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(get(&resource, "host.arch"), "amd64");
    }
    assert_eq!(resource.get("k8s.cluster.name"), None);
}

#[test]
fn the_instance_is_the_same_after_a_restart_and_another_on_another_node() {
    let (a, b) = (host(MACHINE), host("f123456789abcdef0123456789abcdef"));
    let id = |root: &Path, node| get(&built(&env(&[("K8S_NODE_NAME", node)]), root), "service.instance.id");
    assert_eq!(id(a.path(), "n"), id(a.path(), "n"));
    assert_eq!(
        uuid::Uuid::parse_str(&id(a.path(), "n"))
            .expect("a UUID")
            .get_version_num(),
        5
    );
    assert_ne!(id(a.path(), "n"), id(b.path(), "n"));
    assert_ne!(
        id(a.path(), "n"),
        id(a.path(), "m"),
        "boards cloned with their machine-id"
    );
}

#[test]
fn what_the_user_says_wins_and_an_empty_value_leaves_out() {
    let host = host(MACHINE);
    let given = Given {
        file: "[resource]\n'k8s.node.name' = 'mine'\nrack = 7",
        env: &[
            ("K8S_NODE_NAME", "theirs"),
            ("OTEL_SERVICE_NAME", "svc"),
            ("OTEL_RESOURCE_ATTRIBUTES", "rack=8"),
        ],
        sets: &["resource.host.id="],
    };
    let resource = built(&given, host.path());
    assert_eq!(get(&resource, "k8s.node.name"), "mine");
    assert_eq!(get(&resource, "service.name"), "svc");
    assert_eq!(get(&resource, "rack"), "8");
    assert_eq!(resource.get("host.id"), None);
}

#[test]
fn a_first_boot_has_no_host_id() {
    let resource = built(&Given::default(), host("uninitialized").path());
    assert_eq!(resource.get("host.id"), None);
    assert!(resource.get("service.instance.id").is_some());
}

#[test]
fn node_name_counts_only_inside_a_cluster() {
    let host = host(MACHINE);
    let node = ("NODE_NAME", "n");
    assert_eq!(built(&env(&[node]), host.path()).get("k8s.node.name"), None);
    let inside = built(&env(&[node, ("KUBERNETES_SERVICE_HOST", "10.0.0.1")]), host.path());
    assert_eq!(get(&inside, "k8s.node.name"), "n");
    let flagged = built(&sets(&["resource.k8s.node.name=f"]), host.path());
    assert_eq!(get(&flagged, "k8s.node.name"), "f");
}
