//! Names of a container, from each of the places where a node stores them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::os::unix::fs::symlink;
use std::time::Instant;

use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_pipeline::attribution::Engines;
use accelscope_pipeline::attribution::container::Container;

const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";
const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";

struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn with(self, path: &str, text: &str) -> Self {
        let path = self.directory.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn look_up(&self, cgroup: &str) -> Container {
        self.find(&Cgroup::parse(cgroup))
    }

    fn find(&self, cgroup: &Cgroup) -> Container {
        Engines::new(&HostRoots::new(self.directory.path()), &[]).find(cgroup, Instant::now())
    }
}

fn in_pod() -> String {
    format!("0::/kubepods/besteffort/pod{UID}/{ID}")
}

#[allow(clippy::unnecessary_wraps, reason = "as the fields that it is compared with")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn vision() -> Container {
    Container {
        id: text(ID),
        name: None,
        image: text("registry.example/vision:3"),
        pod_name: text("vision-7d9f"),
        pod_uid: text(UID),
        namespace: text("edge"),
        k8s_container_name: text("detector"),
        ..Container::default()
    }
}

const CONTAINERD: &str = r#"{"ociVersion":"1.2.0","process":{"args":["/app"]},"annotations":{
    "io.kubernetes.cri.container-name":"detector","io.kubernetes.cri.container-type":"container",
    "io.kubernetes.cri.image-name":"registry.example/vision:3","io.kubernetes.cri.sandbox-id":"99",
    "io.kubernetes.cri.sandbox-name":"vision-7d9f","io.kubernetes.cri.sandbox-namespace":"edge",
    "io.kubernetes.cri.sandbox-uid":"1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"}}"#;

#[test]
fn containerds_bundle_wherever_its_state_is() {
    for state in [
        "/run/containerd",
        "/run/k3s/containerd",
        "/run/k0s/containerd",
        "/var/snap/microk8s/common/run/containerd",
    ] {
        let bundle = format!("{state}/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
        assert_eq!(
            Node::new().with(&bundle, CONTAINERD).look_up(&in_pod()),
            vision(),
            "{state}"
        );
    }
}

#[test]
fn the_bundle_names_the_pod_where_the_path_does_not() {
    let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    let node = Node::new().with(&bundle, CONTAINERD);
    assert_eq!(node.look_up(&format!("0::/../cri-containerd-{ID}.scope")), vision());
}

#[test]
fn a_cgroup_that_is_named_like_another_pods_container_gets_none_of_its_names() {
    let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    let own = "00000000-0000-4000-8000-000000000001";
    let found = Node::new()
        .with(&bundle, CONTAINERD)
        .look_up(&format!("0::/kubepods/besteffort/pod{own}/{ID}"));
    assert_eq!((found.pod_uid, found.pod_name, found.image), (text(own), None, None));
}

#[test]
fn crios_bundle() {
    let config = r#"{"annotations":{"io.kubernetes.container.name":"detector","io.kubernetes.pod.name":"vision-7d9f",
        "io.kubernetes.pod.namespace":"edge","io.kubernetes.pod.uid":"1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
        "io.kubernetes.cri-o.ImageName":"registry.example/vision:3"}}"#;
    for storage in ["/run/containers/storage", "/var/lib/containers/storage"] {
        let path = format!("{storage}/overlay-containers/{ID}/userdata/config.json");
        assert_eq!(
            Node::new().with(&path, config).look_up(&in_pod()),
            vision(),
            "{storage}"
        );
    }
}

#[test]
fn docker_alone_and_under_kubernetes() {
    let path = format!("/var/lib/docker/containers/{ID}/config.v2.json");
    let alone =
        r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15","Labels":{"maintainer":"x"}},"State":{"Pid":7}}"#;
    let found = Node::new()
        .with(&path, alone)
        .look_up(&format!("0::/system.slice/docker-{ID}.scope"));
    assert_eq!(
        found,
        Container {
            id: text(ID),
            name: text("frigate"),
            image: text("frigate:0.15"),
            ..Container::default()
        }
    );
    let k8s = r#"{"Name":"/k8s_detector_vision-7d9f_edge_1b2c_0","Config":{"Image":"registry.example/vision:3","Labels":{
        "io.kubernetes.container.name":"detector","io.kubernetes.pod.name":"vision-7d9f",
        "io.kubernetes.pod.namespace":"edge","io.kubernetes.pod.uid":"1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9"}}}"#;
    assert_eq!(Node::new().with(&path, k8s).look_up(&in_pod()), vision());
}

#[test]
fn dockers_data_may_be_elsewhere_by_a_link() {
    let path = format!("/mnt/ssd/docker/containers/{ID}/config.v2.json");
    let node = Node::new().with(&path, r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15"}}"#);
    std::fs::create_dir_all(node.directory.path().join("var/lib")).unwrap();
    symlink("/mnt/ssd/docker", node.directory.path().join("var/lib/docker")).unwrap();
    assert_eq!(node.look_up(&format!("0::/docker/{ID}")).name, text("frigate"));
}

#[test]
fn podmans_lists() {
    let list = format!(
        r#"[{{"id":"other","names":["no"]}},{{"id":"{ID}","names":["frigate"],"metadata":"{{\"image-name\":\"frigate:0.15\"}}"}}]"#
    );
    for file in ["containers.json", "volatile-containers.json"] {
        let node = Node::new().with(&format!("/var/lib/containers/storage/overlay-containers/{file}"), &list);
        let found = node.look_up(&format!("0::/machine.slice/libpod-{ID}.scope/container"));
        assert_eq!(
            (found.name, found.image),
            (text("frigate"), text("frigate:0.15")),
            "{file}"
        );
    }
}

#[test]
fn nerdctls_name_and_ctrs_own_choice() {
    let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json");
    let node = Node::new().with(&bundle, r#"{"annotations":{"nerdctl/name":"frigate"}}"#);
    assert_eq!(node.look_up(&format!("0::/default/{ID}")).name, text("frigate"));
    assert_eq!(Node::new().look_up("0::/default/camera").name, text("camera"));
}

#[test]
fn the_links_to_the_logs_are_next_and_only_their_names_are_read() {
    let node = Node::new();
    let links = node.directory.path().join("var/log/containers");
    std::fs::create_dir_all(&links).unwrap();
    symlink("/nowhere", links.join(format!("vision-7d9f_edge_detector-{ID}.log"))).unwrap();
    symlink("/nowhere", links.join("other_edge_detector-11.log")).unwrap();
    assert_eq!(
        node.look_up(&in_pod()),
        Container {
            image: None,
            ..vision()
        }
    );
}

#[test]
fn the_pods_log_directory_is_last_and_has_no_container() {
    let node = Node::new().with(&format!("/var/log/pods/edge_vision-7d9f_{UID}/detector/0.log"), "");
    let found = node.look_up(&in_pod());
    assert_eq!(
        found,
        Container {
            image: None,
            k8s_container_name: None,
            ..vision()
        }
    );
    assert!(found.is_named() && !found.is_complete());
}

#[test]
fn a_source_that_cannot_be_read_gives_way_to_the_next() {
    let bundle = format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
    let huge = " ".repeat(5 << 20);
    for broken in [
        "{",
        "[]",
        r#"{"annotations":{"io.kubernetes.cri.sandbox-name":7}}"#,
        &huge,
    ] {
        let node = Node::new()
            .with(&bundle, broken)
            .with(&format!("/var/log/containers/vision-7d9f_edge_detector-{ID}.log"), "");
        assert_eq!(node.look_up(&in_pod()).pod_name, text("vision-7d9f"));
    }
}

#[test]
fn an_id_that_leads_elsewhere_is_not_followed() {
    let node = Node::new().with("/run/containerd/io.containerd.runtime.v2.task/config.json", CONTAINERD);
    let cgroup = Cgroup {
        container_id: text(".."),
        ..Cgroup::default()
    };
    let found = node.find(&cgroup);
    assert_eq!(found.pod_name, None);
}

#[test]
fn without_any_source_the_path_is_all_that_is_known() {
    let found = Node::new().look_up(&in_pod());
    assert_eq!(
        found,
        Container {
            id: text(ID),
            pod_uid: text(UID),
            ..Container::default()
        }
    );
    assert!(!found.is_named());
}

#[test]
fn a_container_that_gives_a_pods_group_its_own_id_is_in_no_pod() {
    let node = Node::new()
        .with(&format!("/var/log/pods/edge_victim_{UID}/detector/0.log"), "")
        .with(
            &format!("/var/lib/docker/containers/{ID}/config.v2.json"),
            r#"{"Name":"/own"}"#,
        );
    for around in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope/init.scope"),
        format!("/kubepods/besteffort/pod00000000-0000-4000-8000-000000000001/{ID}"),
    ] {
        let slice = format!("kubepods-pod{}.slice", UID.replace('-', "_"));
        for inner in [
            format!("kubepods/pod{UID}/{ID}"),
            format!("kubepods.slice/{slice}/cri-containerd-{ID}.scope"),
            format!("containerd.service/{slice}:cri-containerd:{ID}"),
        ] {
            let found = node.find(&Cgroup::from_path(&format!("{around}/{inner}")));
            assert_eq!(found.id, text(ID), "{around} {inner}");
            assert_ne!(found.pod_uid.as_deref(), Some(UID), "{around} {inner}");
            let name = found.name.filter(|name| name != "own");
            assert_eq!((found.pod_name, name), (None, None), "{around} {inner}");
        }
    }
}

#[test]
fn a_users_claim_is_judged_by_engines_that_keep_their_files_elsewhere() {
    let own = format!("/home/edge/.local/share/docker/containers/{ID}/config.v2.json");
    for (configuration, text) in [
        ("/etc/docker/daemon.json", r#"{"data-root":"/srv/data"}"#),
        ("/etc/isulad/daemon.json", r#"{"graph":"/srv/data"}"#),
    ] {
        let node = Node::new()
            .with("/etc/passwd", "edge:x:1000:1000::/home/edge:/bin/sh\n")
            .with(configuration, text)
            .with(
                &format!("/srv/data/containers/{ID}/config.v2.json"),
                r#"{"Name":"/victim"}"#,
            )
            .with(&own, r#"{"Name":"/thief"}"#);
        let found = node.look_up(&format!(
            "0::/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope"
        ));
        assert_eq!(found, Container::default(), "{configuration}");
    }
}
