//! Whose containers a process speaks for that is called like an engine.

use std::os::unix::fs::{PermissionsExt, chown};

use skip_test::skip;

use crate::group_support::new_id;
use crate::machine::Machine;
use crate::{expected, of_container, shown};

const FORGED: &str = r#"{"Name":"/forged","Config":{"Image":"forged:1","Labels":{
    "io.kubernetes.pod.name":"forged","io.kubernetes.pod.namespace":"prod","io.kubernetes.container.name":"c"}}}"#;
const KEYS: &[&str] = &["container.name", "container.image.name", "k8s.pod.name"];
const OTHER: u32 = 65534;
/// A group that this machine does not have.
const GROUP: u32 = 1_234_567;

/// A machine with a container of root's without a name, and what would name it in `/srv/forged`, of that user.
fn machine(owner: u32) -> Option<(Machine, String)> {
    let mut machine = Machine::new()?;
    let victim = new_id();
    machine.write(&format!("/srv/forged/containers/{victim}/config.v2.json"), FORGED);
    chown(machine.path("/srv/forged"), Some(owner), None).unwrap();
    std::fs::set_permissions(machine.path("/"), std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.holder(&format!("docker/{victim}"));
    Some((machine, victim))
}

#[track_caller]
fn is_not_named(machine: &Machine, victim: &str) {
    let (holders, errors) = machine.holders("");
    assert_eq!(shown(of_container(&holders, victim), KEYS), expected(&[]), "{errors}");
}

/// A program at `/bin/containerd` that runs as its owner root, whoever starts it, and stays.
fn set_user_id(machine: &Machine) -> bool {
    let program = machine.path("/bin/containerd");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::copy("/bin/cat", &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let fifo = machine.path("/fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
    let options = rustix::fs::statvfs(&program).unwrap().f_flag;
    let is_possible = !options.contains(rustix::fs::StatVfsMountFlags::NOSUID);
    if !is_possible {
        skip("setuid", "the directory for temporary files is mounted nosuid");
    }
    is_possible
}

#[test]
fn a_program_that_a_user_has_started_as_root_is_not_roots_engine() {
    // As with `su`, which has the user as its real user until it has a password, and with `sudo`, which has not.
    for user in [OTHER, 0] {
        let Some((mut machine, victim)) = machine(0) else {
            return;
        };
        if !set_user_id(&machine) {
            return;
        }
        let [program, fifo] = ["/bin/containerd", "/fifo"].map(|path| machine.path(path).display().to_string());
        let script = format!("exec setpriv --reuid={user} --clear-groups {program} -- {fifo} -g /srv/forged");
        machine.runs("containerd", &script);
        is_not_named(&machine, &victim);
    }
}

#[test]
fn what_roots_engine_names_must_be_roots() {
    for (arguments, environment, link) in [
        (&["--data-root", "/srv/forged"][..], None, false),
        (&["--data-root", "/opt/link"], None, true),
        (&["--config-file", "/srv/forged/daemon.json"], None, false),
        (
            &[],
            Some(("CONTAINERS_STORAGE_CONF", "/srv/forged/storage.conf")),
            false,
        ),
    ] {
        let Some((mut machine, victim)) = machine(OTHER) else {
            return;
        };
        machine.write("/srv/forged/daemon.json", r#"{"data-root":"/srv/copy"}"#);
        machine.write("/srv/forged/storage.conf", "[storage]\ngraphroot=\"/srv/copy\"\n");
        machine.write(&format!("/srv/copy/containers/{victim}/config.v2.json"), FORGED);
        if link {
            std::fs::create_dir(machine.path("/opt")).unwrap();
            std::os::unix::fs::symlink("/srv/forged", machine.path("/opt/link")).unwrap();
        }
        let environment: Vec<_> = environment.into_iter().collect();
        machine.engine("dockerd", arguments, &environment, "", "");
        is_not_named(&machine, &victim);
    }
}

#[test]
fn a_directory_of_a_user_that_roots_configuration_names_is_not_believed_and_the_log_says_so() {
    let Some((machine, victim)) = machine(OTHER) else {
        return;
    };
    machine.write("/etc/docker/daemon.json", r#"{"data-root":"/srv/forged"}"#);
    is_not_named(&machine, &victim);
    let (_, errors) = machine.holders("");
    assert!(errors.contains("/srv/forged belongs to user 65534"), "{errors}");
    // The agent's own configuration may name it.
    let (holders, errors) = machine.holders("--set attribution.engine_directories=/srv/forged");
    let named = shown(of_container(&holders, &victim), &["k8s.pod.name"]);
    assert_eq!(named, expected(&[("k8s.pod.name", "forged")]), "{errors}");
}

#[test]
fn root_in_a_container_of_an_unknown_kind_is_not_the_nodes_root() {
    let Some((mut machine, victim)) = machine(0) else {
        return;
    };
    let program = machine.script("containerd");
    let script = format!(
        "exec unshare --pid --fork --kill-child {} -g /srv/forged",
        program.display()
    );
    machine.runs("containerd", &script);
    is_not_named(&machine, &victim);
}

#[test]
fn an_engine_in_a_group_that_a_user_has_named_like_a_container_is_not_in_that() {
    let Some(mut machine) = Machine::new() else { return };
    let [victim, inner] = [(); 2].map(|()| new_id());
    let Some(given) = machine.given("given", OTHER) else {
        return;
    };
    machine.write(&format!("/srv/forged/containers/{inner}/config.v2.json"), FORGED);
    let root = machine.path("/").display().to_string();
    let see = format!("mount --bind {root}srv /srv");
    machine.engine(
        "dockerd",
        &["-g", "/srv/forged"],
        &[],
        &see,
        &format!("{given}/docker/{victim}"),
    );
    machine.holder(&format!("docker/{victim}/docker/{inner}"));
    let (holders, errors) = machine.holders("");
    let is_forged = |holder: &serde_json::Value| holder["container.name"] == "forged";
    assert!(!holders.iter().any(is_forged), "{holders:?} {errors}");
}

#[test]
fn roots_engine_is_believed_that_root_has_started() {
    let Some((mut machine, victim)) = machine(0) else {
        return;
    };
    machine.engine("dockerd", &["-g", "/srv/forged"], &[], "", "");
    let (holders, errors) = machine.holders("");
    let named = shown(of_container(&holders, &victim), &["k8s.pod.name"]);
    assert_eq!(named, expected(&[("k8s.pod.name", "forged")]), "{errors}");
}

#[test]
fn a_directory_of_staff_is_roots_while_nobody_is_in_it_and_a_list_may_name_others() {
    let Some((mut machine, victim)) = machine(0) else {
        return;
    };
    machine.engine("dockerd", &["-g", "/srv/link"], &[], "", "");
    std::os::unix::fs::symlink("/srv/forged", machine.path("/srv/link")).unwrap();
    let directory = machine.path("/srv/forged");
    let shows = |machine: &Machine| {
        let (holders, errors) = machine.holders("");
        (shown(of_container(&holders, &victim), &["k8s.pod.name"]), errors)
    };
    let named = expected(&[("k8s.pod.name", "forged")]);
    chown(&directory, None, Some(GROUP)).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o2775)).unwrap();
    machine.write(
        "/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nedge:x:4711:4711::/home/edge:/bin/sh\n",
    );
    machine.write("/etc/group", &format!("root:x:0:\nstaff:x:{GROUP}:\n"));
    let (found, errors) = shows(&machine);
    assert_eq!(found, named, "{errors}");
    machine.write("/etc/group", &format!("root:x:0:\nstaff:x:{GROUP}:edge\n"));
    let (found, errors) = shows(&machine);
    assert_eq!(found, expected(&[]), "{errors}");
    assert!(errors.contains("group staff, in which edge is"), "{errors}");

    chown(&directory, None, Some(0)).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(shows(&machine).0, named);
    if !crate::acl_support::let_write(&directory, OTHER) {
        return;
    }
    let (found, errors) = shows(&machine);
    assert_eq!(found, expected(&[]), "{errors}");
    let reason = format!("an access control list with user {OTHER}");
    assert!(errors.contains(&reason) && errors.contains("setfacl -b"), "{errors}");
}
