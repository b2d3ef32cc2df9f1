//! Files of engines that are not in the expected form: what can be read of them counts, and the log quotes the rest.

use super::nameless::about_names;
use super::{Machine, expected, new_id, of_container, shown};

const DOCKER: &str = "system.slice/docker-ID.scope";
const LIST: &str = "/var/lib/containers/storage/overlay-containers/containers.json";

fn container(id: &str) -> String {
    format!("/opt/d/containers/{id}/config.v2.json")
}

const NAMED: &str = r#"{"Name":"/infer","Config":{"Image":"infer:2"}}"#;

fn stored(id: &str, name: &str) -> String {
    format!(r#"{{"id":"{id}","names":["{name}"],"metadata":"{{\"image-name\":\"infer:2\"}}"}}"#)
}

/// The files of a case, for a container with that id.
fn files(case: &str, id: &str) -> Vec<(String, String)> {
    let daemon = |text: &str| {
        vec![
            ("/etc/docker/daemon.json".to_owned(), text.to_owned()),
            (container(id), NAMED.to_owned()),
        ]
    };
    let docker = |text: &str| {
        vec![(
            format!("/var/lib/docker/containers/{id}/config.v2.json"),
            text.to_owned(),
        )]
    };
    let list = |text: String| vec![(LIST.to_owned(), text)];
    let own = stored(id, "infer");
    match case {
        "byte order mark" => daemon("\u{feff}{\"data-root\":\"/opt/d\"}"),
        "a key twice" => daemon(r#"{"data-root":"/x","debug":true,"data-root":"/opt/d"}"#),
        "another key of another type" => daemon(r#"{"graph":7,"data-root":"/opt/d"}"#),
        "a label without a value" => {
            docker(r#"{"Name":"/infer","Config":{"Image":"infer:2","Labels":{"a":null,"b":["c"]}}}"#)
        }
        "a number as names" => list(format!(r#"[{{"id":"x","names":7}},{own}]"#)),
        "entries without id" => list(format!(r#"[{{"names":null}},null,"x",{own}]"#)),
        "an entry that breaks off behind it" => list(format!(r#"[{own},{{"id":"#)),
        "14,000 containers" => {
            let padding = "x".repeat(300);
            let other = |number: usize| stored(&format!("{number:064x}"), &format!("n{number}{padding}"));
            let mut all: Vec<String> = (0..14_000).map(other).collect();
            all.push(own);
            list(format!("[{}]", all.join(",")))
        }
        "a setting of another type" => vec![
            (
                "/etc/containers/storage.conf".to_owned(),
                "\u{feff}state = 5\n[storage]\ngraphroot = \"/opt/c\"\n".to_owned(),
            ),
            (
                "/opt/c/overlay-containers/containers.json".to_owned(),
                format!("[{own}]"),
            ),
        ],
        _ => unreachable!("{case}"),
    }
}

#[test]
fn what_is_odd_in_a_file_does_not_hide_the_rest() {
    let cases = [
        "byte order mark",
        "a key twice",
        "another key of another type",
        "a label without a value",
        "a number as names",
        "entries without id",
        "an entry that breaks off behind it",
        "14,000 containers",
        "a setting of another type",
    ];
    let mut wrong = Vec::new();
    for case in cases {
        let Some(mut machine) = Machine::new() else { return };
        let id = new_id();
        for (path, text) in files(case, &id) {
            machine.write(&path, &text);
        }
        machine.holder(&DOCKER.replace("ID", &id));
        let (holders, errors) = machine.holders("");
        let found = shown(of_container(&holders, &id), &["container.name", "container.image.name"]);
        if found != expected(&[("container.name", "infer"), ("container.image.name", "infer:2")]) {
            wrong.push(format!("{case}: {found:?} {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the one line about names has in it, on a host with this file.
fn line(machine: &Machine, sets: &str) -> String {
    let (_, errors) = machine.holders(sets);
    let [line] = about_names(&errors)[..] else {
        panic!("one line: {errors}")
    };
    line.to_owned()
}

#[test]
fn the_log_quotes_the_file_that_cannot_be_used_and_why() {
    let Some(mut machine) = Machine::new() else { return };
    machine.holder(&DOCKER.replace("ID", &new_id()));
    for (path, text, reason) in [
        ("/etc/docker/daemon.json", "{\"data-root\":\"/srv/docker\",}", "line 1"),
        (
            "/etc/containers/storage.conf",
            "[storage\ngraphroot=\"/srv\"\n",
            "line 1",
        ),
        ("/etc/docker/daemon.json", &"x".repeat(5 << 20), "longer than"),
    ] {
        machine.write(path, text);
        let line = line(&machine, "");
        assert!(line.contains(path) && line.contains(reason), "{line}");
        assert!(!line.contains("engine_directories") && !line.contains("srv"), "{line}");
        let doctor = machine.agent("doctor --set otlp.enabled=false").output().unwrap();
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains(path) && doctor.contains(reason), "{doctor}");
        std::fs::remove_file(machine.path(path)).unwrap();
    }
}

#[test]
fn a_configured_directory_that_is_wrong_is_named() {
    let Some(mut machine) = Machine::new() else { return };
    machine.holder(&DOCKER.replace("ID", &new_id()));
    machine.write("/etc/hostname", "edge");
    for (path, reason) in [("/typo", "No such file"), ("/etc/hostname", "Not a directory")] {
        let line = line(&machine, &format!("--set attribution.engine_directories={path}"));
        assert!(
            line.contains(&format!("{path} (in attribution.engine_directories: {reason}")),
            "{line}"
        );
        assert!(!line.contains("CAP_DAC_READ_SEARCH"), "{line}");
    }
}

#[test]
fn a_file_of_the_kernel_that_an_engine_names_is_not_read() {
    let Some(mut machine) = Machine::new() else { return };
    machine.holder(&DOCKER.replace("ID", &new_id()));
    for path in ["/proc/kmsg", "/sys/kernel/uevent_seqnum"] {
        machine.engine("dockerd", &["--config-file", path], &[], "", "");
    }
    machine.engine("conmon", &[], &[("CONTAINERS_STORAGE_CONF", "/dev/zero")], "", "");
    let line = line(&machine, "");
    for refused in [
        "/proc/kmsg (a file of the kernel)",
        "/sys/kernel/uevent_seqnum (a file of the kernel)",
        "/dev/zero (not a regular file)",
    ] {
        assert!(line.contains(refused), "{line}");
    }
}

#[test]
fn many_directories_of_one_container_do_not_hide_those_of_another() {
    let Some(mut machine) = Machine::new() else { return };
    let [outer, inner, flood] = [(); 3].map(|()| new_id());
    let many: Vec<String> = (0..300).map(|number| format!("/mnt/many/{number}")).collect();
    for path in &many {
        std::fs::create_dir_all(machine.path(path)).unwrap();
    }
    let root = machine.path("/").display().to_string();
    let see = format!("mount --bind {root}mnt /mnt");
    for part in many.chunks(50) {
        let arguments: Vec<&str> = part.iter().flat_map(|path| ["-g", path.as_str()]).collect();
        machine.engine("dockerd", &arguments, &[], &see, &format!("docker/{flood}"));
    }
    machine.write(&format!("/mnt/own/containers/{inner}/config.v2.json"), NAMED);
    machine.engine(
        "dockerd",
        &["--data-root", "/mnt/own"],
        &[],
        &see,
        &format!("docker/{outer}"),
    );
    machine.holder(&format!("docker/{outer}/docker/{inner}"));
    let (holders, errors) = machine.holders("");
    let found = shown(of_container(&holders, &inner), &["container.name"]);
    assert_eq!(found, expected(&[("container.name", "infer")]), "{errors}");
}
