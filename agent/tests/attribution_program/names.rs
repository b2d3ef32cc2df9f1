//! Names and images of containers by the engines' own configuration.

use super::{Machine, expected, new_id, of_container, shown};

/// An engine's files, and the control group of the container with the id.
type Case = (&'static str, &'static str, fn(&str) -> Vec<(String, String)>);

fn docker(data: &str, id: &str) -> (String, String) {
    (
        format!("{data}/containers/{id}/config.v2.json"),
        r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15","Labels":{}}}"#.to_owned(),
    )
}

fn podman(drivers: &str, id: &str) -> (String, String) {
    let list = format!(
        r#"[{{"id":"other","names":["no"]}},{{"id":"{id}","names":["frigate"],"metadata":"{{\"image-name\":\"frigate:0.15\"}}"}}]"#
    );
    (format!("{drivers}/containers.json"), list)
}

fn file(path: &str, text: &str) -> (String, String) {
    (path.to_owned(), text.to_owned())
}

const DOCKER: &str = "system.slice/docker-ID.scope";
const PODMAN: &str = "machine.slice/libpod-ID.scope/container";
const OF_USER: &str = "user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope";

/// Each on a host of its own: a file of one may be another's.
const CASES: &[Case] = &[
    ("Docker's data-root", DOCKER, |id| {
        vec![
            file(
                "/etc/docker/daemon.json",
                r#"{"data-root": "/opt/docker/docker", "debug": true}"#,
            ),
            docker("/opt/docker/docker", id),
        ]
    }),
    ("Docker's data-root by its older name", DOCKER, |id| {
        vec![
            file("/etc/docker/daemon.json", r#"{"graph": "/srv/d"}"#),
            docker("/srv/d", id),
        ]
    }),
    ("the snap's data-root", DOCKER, |id| {
        let path = "/var/snap/docker/current/config/daemon.json";
        vec![file(path, r#"{"data-root": "/srv/snap"}"#), docker("/srv/snap", id)]
    }),
    ("Docker with a range of users", DOCKER, |id| {
        vec![docker("/var/lib/docker/100000.100000", id)]
    }),
    ("Docker without root", OF_USER, |id| {
        vec![docker("/home/edge/.local/share/docker", id)]
    }),
    ("Docker without root, moved", OF_USER, |id| {
        vec![
            file(
                "/etc/passwd",
                "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/srv/people/pi:/bin/sh\n",
            ),
            file(
                "/srv/people/pi/.config/docker/daemon.json",
                r#"{"data-root":"/mnt/ssd/docker"}"#,
            ),
            docker("/mnt/ssd/docker", id),
        ]
    }),
    ("Podman with vfs", PODMAN, |id| {
        vec![podman("/var/lib/containers/storage/vfs-containers", id)]
    }),
    ("Podman with btrfs, moved", PODMAN, |id| {
        vec![
            file(
                "/etc/containers/storage.conf",
                "[storage]\ndriver = \"btrfs\"\ngraphroot = \"/srv/c\"\n",
            ),
            podman("/srv/c/btrfs-containers", id),
        ]
    }),
    ("Podman moved in a file of a directory", PODMAN, |id| {
        let path = "/etc/containers/storage.conf.d/50-moved.conf";
        vec![
            file(path, "[storage]\nrunroot = \"/run/c\"\n"),
            podman("/run/c/overlay-containers", id),
        ]
    }),
    ("Podman without root", OF_USER, |id| {
        vec![podman(
            "/home/edge/.local/share/containers/storage/overlay-containers",
            id,
        )]
    }),
    ("Podman without root, moved by the user", OF_USER, |id| {
        vec![
            file(
                "/home/edge/.config/containers/storage.conf",
                "[storage]\ngraphroot = \"$HOME/c\"\n",
            ),
            podman("/home/edge/c/vfs-containers", id),
        ]
    }),
    ("Podman without root, moved by the system", OF_USER, |id| {
        vec![
            file(
                "/etc/containers/storage.conf",
                "[storage]\nrootless_storage_path = \"/mnt/$USER/c\"\n",
            ),
            file("/etc/passwd", "edge:x:1000:1000::/var/home/edge:/bin/sh\n"),
            podman("/mnt/edge/c/overlay-containers", id),
        ]
    }),
    ("iSulad", "isulad/ID", |id| {
        let text =
            r#"{"CommonConfig":{"Name":"frigate","id":"x","Image":"frigate:0.15","Config":{}},"Image":"sha256:1"}"#;
        vec![file(&format!("/var/lib/isulad/engines/lcr/{id}/config.v2.json"), text)]
    }),
    ("iSulad, moved", "isulad/ID", |id| {
        let text = r#"{"CommonConfig":{"Name":"frigate","id":"x","Image":"frigate:0.15"},"State":{}}"#;
        vec![
            file("/etc/isulad/daemon.json", r#"{"graph":"/srv/isulad"}"#),
            file(&format!("/srv/isulad/engines/runc/{id}/config.v2.json"), text),
        ]
    }),
];

#[test]
fn name_and_image_are_found_by_the_engines_own_configuration() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let cases: Vec<_> = CASES.iter().map(|case| scope.spawn(|| named(case))).collect();
        cases.into_iter().filter_map(|case| case.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong.
fn named((title, group, files): &Case) -> Option<String> {
    let mut machine = Machine::new()?;
    let id = new_id();
    for (path, text) in files(&id) {
        machine.write(&path, &text);
    }
    machine.holder(&group.replace("ID", &id));
    let (holders, errors) = machine.holders("");
    let found = shown(of_container(&holders, &id), &["container.name", "container.image.name"]);
    let all = [("container.name", "frigate"), ("container.image.name", "frigate:0.15")];
    let is_right = found == expected(&all) && !errors.contains("no name");
    (!is_right).then(|| format!("{title}: {found:?}\n{errors}"))
}

#[test]
fn the_state_of_cri_o_and_containerd_may_be_elsewhere_too() {
    let cases = [
        (
            file(
                "/etc/crio/crio.conf.d/10-moved.conf",
                "[crio]\nrunroot = \"/run/moved\"\n",
            ),
            "/run/moved/overlay-containers/ID/userdata/config.json",
        ),
        (
            file("/etc/containerd/config.toml", "version = 3\nstate = \"/run/moved\"\n"),
            "/run/moved/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
        ),
    ];
    for ((path, text), bundle) in cases {
        let Some(mut machine) = Machine::new() else { return };
        let id = new_id();
        machine.write(&path, &text);
        let annotations = r#"{"annotations":{"io.kubernetes.pod.name":"vision-0","io.kubernetes.pod.namespace":"edge",
            "io.kubernetes.container.name":"detector"}}"#;
        machine.write(&bundle.replace("ID", &id), annotations);
        machine.holder(&format!(
            "kubepods/besteffort/pod1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9/{id}"
        ));
        let (holders, errors) = machine.holders("");
        let found = shown(of_container(&holders, &id), &["k8s.pod.name", "k8s.container.name"]);
        let all = expected(&[("k8s.pod.name", "vision-0"), ("k8s.container.name", "detector")]);
        assert_eq!(found, all, "{path}: {errors}");
    }
}

#[test]
fn podman_with_split_groups_has_container_name_image_and_unit() {
    let cases = [
        "system.slice/infer.service/libpod-payload-ID",
        "system.slice/infer.service/libpod-payload-ID/container",
        "user.slice/user-1000.slice/user@1000.service/app.slice/infer.service/libpod-payload-ID/init.scope",
    ];
    let Some(mut machine) = Machine::new() else { return };
    let ids = cases.map(|_| new_id());
    let stored = ids
        .clone()
        .map(|id| format!(r#"{{"id":"{id}","names":["infer"],"metadata":"{{\"image-name\":\"infer:2\"}}"}}"#));
    let (of_root, of_user) = stored.split_at(2);
    for (storage, list) in [
        ("/var/lib/containers/storage", of_root),
        ("/home/edge/.local/share/containers/storage", of_user),
    ] {
        let path = format!("{storage}/overlay-containers/containers.json");
        machine.write(&path, &format!("[{}]", list.join(",")));
    }
    for (case, id) in cases.iter().zip(&ids) {
        machine.holder(&case.replace("ID", id));
    }
    let (holders, errors) = machine.holders("");
    // The units of a user's manager have any name.
    let units = ["infer.service", "infer.service", "user@1000.service"];
    let owners = [None, None, Some(("accel.owner", "user 1000"))];
    for (id, (unit, owner)) in ids.iter().zip(units.into_iter().zip(owners)) {
        let keys = ["container.name", "container.image.name", "systemd.unit", "accel.owner"];
        let all = [
            ("container.name", "infer"),
            ("container.image.name", "infer:2"),
            ("systemd.unit", unit),
        ];
        let all: Vec<_> = all.into_iter().chain(owner).collect();
        assert_eq!(shown(of_container(&holders, id), &keys), expected(&all), "{errors}");
    }
}

#[test]
fn a_running_engine_says_where_its_containers_are() {
    let Some(mut machine) = Machine::new() else { return };
    let ids = [(); 4].map(|()| new_id());
    let [of_flag, of_file, of_monitor, of_variable] = &ids;
    for (path, text) in [
        docker("/srv/one", of_flag),
        docker("/srv/two", of_file),
        file("/srv/dockerd.json", r#"{"data-root":"/srv/two"}"#),
        podman("/srv/three/vfs-containers", of_monitor),
        podman("/srv/four/overlay-containers", of_variable),
        file("/srv/storage.conf", "[storage]\ngraphroot=\"/srv/four\"\n"),
    ] {
        machine.write(&path, &text);
    }
    let bundle = format!("/srv/three/vfs-containers/{of_monitor}/userdata");
    machine.engine("dockerd", &["-H", "fd://", "--data-root=/srv/one"], &[], "", "");
    machine.engine("dockerd", &["--config-file", "/srv/dockerd.json"], &[], "", "");
    machine.engine("conmon", &["-c", of_monitor, "-b", &bundle, "-n", "infer"], &[], "", "");
    machine.engine(
        "podman",
        &["system", "service"],
        &[("CONTAINERS_STORAGE_CONF", "/srv/storage.conf")],
        "",
        "",
    );
    for id in &ids {
        machine.holder(&format!("machine.slice/libpod-{id}.scope"));
    }
    let (holders, errors) = machine.holders("");
    for (id, of) in ids.iter().zip(["flag", "file", "monitor", "variable"]) {
        let found = shown(of_container(&holders, id), &["container.name"]);
        assert_eq!(found, expected(&[("container.name", "frigate")]), "{of}: {errors}");
    }
}

#[test]
fn an_engine_in_a_container_names_the_containers_in_that_one_and_no_others() {
    let Some(mut machine) = Machine::new() else { return };
    let [outer, inner, other] = [(); 3].map(|()| new_id());
    let write = |id: &str| {
        let (path, text) = docker("/mnt/docker", id);
        format!("mkdir -p /mnt/docker/containers/{id} && echo '{text}' >{path}")
    };
    let before = format!("mount -t tmpfs none /mnt && {} && {}", write(&inner), write(&other));
    machine.engine(
        "dockerd",
        &["--data-root", "/mnt/docker"],
        &[],
        &before,
        &format!("docker/{outer}"),
    );
    machine.holder(&format!("docker/{outer}/docker/{inner}"));
    machine.holder(&format!("docker/{other}"));
    let (holders, errors) = machine.holders("");
    let keys = &["container.name", "container.image.name"];
    let all = [("container.name", "frigate"), ("container.image.name", "frigate:0.15")];
    assert_eq!(shown(of_container(&holders, &inner), keys), expected(&all), "{errors}");
    assert_eq!(shown(of_container(&holders, &other), keys), expected(&[]), "{errors}");
}

#[test]
fn a_directory_that_no_engine_names_is_a_setting() {
    let Some(mut machine) = Machine::new() else { return };
    let id = new_id();
    let (path, text) = docker("/mnt/ssd/d", &id);
    machine.write(&path, &text);
    machine.holder(&DOCKER.replace("ID", &id));
    let set = "--set attribution.engine_directories=/mnt/ssd/d";
    let (holders, errors) = machine.holders(set);
    let found = shown(of_container(&holders, &id), &["container.name"]);
    assert_eq!(found, expected(&[("container.name", "frigate")]), "{errors}");
    let doctor = machine
        .agent(&format!("doctor {set} --set otlp.enabled=false"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(text.contains("/mnt/ssd/d"), "{text}");
    let wrong = "--set attribution.engine_directories=/mnt/sdd --set otlp.enabled=false";
    let doctor = machine.agent(&format!("doctor {wrong}")).output().unwrap();
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(text.contains("/mnt/sdd, which does not exist"), "{text}");
}

#[test]
fn a_job_of_a_batch_system_has_its_id() {
    let Some(mut machine) = Machine::new() else { return };
    let groups = [
        (
            "system.slice/slurmstepd.scope/job_123/step_0/user/task_0",
            ["slurm.job.id", "123"],
        ),
        ("slurm/uid_1000/job_124/step_batch/task_0", ["slurm.job.id", "124"]),
        (
            "system.slice/node7_slurmstepd.scope/job_125/step_extern/user",
            ["slurm.job.id", "125"],
        ),
        ("pbs_jobs.service/jobid/126.server", ["pbs.job.id", "126.server"]),
        ("lsf/cluster1/job.127.20815.1690000000", ["lsf.job.id", "127"]),
    ];
    for (group, _) in groups {
        machine.holder(group);
    }
    let (holders, _) = machine.holders("");
    for (group, [key, id]) in groups {
        assert!(holders.iter().any(|holder| holder[key] == id), "{group}: {holders:#?}");
    }
    let first = holders.iter().find(|holder| holder["slurm.job.id"] == "123").unwrap();
    assert_eq!(first["slurm.step.id"], "0");
}
