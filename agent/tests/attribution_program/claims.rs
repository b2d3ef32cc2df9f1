//! Groups that somebody has named like a pod's or a container's.

use std::os::unix::fs::chown;

use crate::group_support::new_id;
use crate::machine::Machine;
use crate::{expected, of_container, shown};

const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";
const NAMED: &str = r#"{"Name":"/victim","Config":{"Image":"victim:1"}}"#;
const KEYS: &[&str] = &["container.name", "k8s.pod.uid", "k8s.pod.name"];
const OTHER: u32 = 65534;

/// A machine with the state of a container of Docker, and the logs of a pod.
fn machine(victim: &str) -> Option<Machine> {
    let machine = Machine::new()?;
    machine.write(&format!("/var/lib/docker/containers/{victim}/config.v2.json"), NAMED);
    machine.write(&format!("/var/log/pods/edge_victim_{UID}/infer/0.log"), "");
    Some(machine)
}

fn has(holders: &[serde_json::Value], key: &str, value: &str) -> bool {
    holders.iter().any(|holder| holder[key] == value)
}

#[test]
fn a_group_in_a_users_group_is_no_pods_and_no_container_of_roots_engine() {
    let victim = new_id();
    let own = new_id();
    let Some(mut machine) = machine(&victim) else { return };
    let manager = "user.slice/user-1000.slice/user@1000.service";
    for path in [
        format!("{manager}/pod{UID}/{victim}"),
        format!("{manager}/kubepods/pod{UID}/{own}"),
        format!("{manager}/app.slice/docker-{victim}.scope"),
    ] {
        machine.holder(&path);
    }
    let (holders, errors) = machine.holders("");
    assert!(!has(&holders, "container.id", &victim), "{holders:?} {errors}");
    assert!(!has(&holders, "k8s.pod.uid", UID), "{holders:?} {errors}");
    assert_eq!(shown(of_container(&holders, &own), KEYS), expected(&[]), "{errors}");
}

#[test]
fn a_group_that_root_has_given_away_is_no_pods_wherever_it_is() {
    let victim = new_id();
    let own = new_id();
    let Some(mut machine) = machine(&victim) else { return };
    let Some(given) = machine.given("given", OTHER) else {
        return;
    };
    machine.holder(&format!("{given}/kubepods/besteffort/pod{UID}/{own}"));
    machine.holder(&format!("{given}/docker/{victim}"));
    let (holders, errors) = machine.holders("");
    assert!(!has(&holders, "container.id", &victim), "{holders:?} {errors}");
    assert!(!has(&holders, "k8s.pod.uid", UID), "{holders:?} {errors}");
    assert_eq!(shown(of_container(&holders, &own), KEYS), expected(&[]), "{errors}");
}

#[test]
fn a_container_that_names_another_within_itself_stays_itself() {
    let victim = new_id();
    let [outer, inner] = [(); 2].map(|()| new_id());
    let Some(mut machine) = machine(&victim) else { return };
    machine.holder(&format!("docker/{outer}/docker/{victim}"));
    machine.holder(&format!("docker/{outer}/docker/{inner}/kubepods/pod{UID}/{}", new_id()));
    machine.holder(&format!("docker/{outer}/kubepods/pod{UID}/{outer}"));
    machine.holder(&format!(
        "kubepods/pod{}/{inner}/docker/{victim}",
        UID.replace('1', "2")
    ));
    let (holders, errors) = machine.holders("");
    assert!(!has(&holders, "container.id", &victim), "{holders:?} {errors}");
    assert!(!has(&holders, "k8s.pod.uid", UID), "{holders:?} {errors}");
    assert!(
        !has(&holders, "container.name", &format!("pod {UID}")),
        "{holders:?} {errors}"
    );
    assert!(has(&holders, "container.id", &outer), "{holders:?} {errors}");
    let pod = [("k8s.pod.uid", UID.replace('1', "2"))];
    let pod: Vec<(&str, &str)> = pod.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(shown(of_container(&holders, &inner), KEYS), expected(&pod), "{errors}");
}

#[test]
fn the_files_of_a_user_name_only_containers_in_that_users_groups() {
    let [theirs, roots] = [(); 2].map(|()| new_id());
    let Some(mut machine) = Machine::new() else { return };
    machine.write("/etc/passwd", "edge:x:1000:1000::/home/edge:/bin/sh\n");
    for id in [&theirs, &roots] {
        let list = format!("/home/edge/.local/share/docker/containers/{id}/config.v2.json");
        machine.write(&list, NAMED);
    }
    chown(machine.path("/home/edge"), Some(1000), Some(1000)).unwrap();
    machine.holder(&format!(
        "user.slice/user-1000.slice/user@1000.service/user.slice/docker-{theirs}.scope"
    ));
    machine.holder(&format!("system.slice/docker-{roots}.scope"));
    let (holders, errors) = machine.holders("");
    let named = expected(&[("container.name", "victim")]);
    assert_eq!(shown(of_container(&holders, &theirs), KEYS), named, "{errors}");
    assert_eq!(shown(of_container(&holders, &roots), KEYS), expected(&[]), "{errors}");
}
