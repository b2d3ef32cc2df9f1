//! Files of engines, and of `/proc`, on a file system that does not answer: FUSE whose server reads no request.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use free_port::free_address;
use skip_test::skip;

use crate::group_support::new_id;
use crate::machine::Machine;
use crate::program_support::{Running, get, wait_for};
use crate::{expected, of_container, shown};

const NAMED: &str = r#"{"Name":"/infer","Config":{"Image":"infer:2"}}"#;

/// A command that mounts what does not answer, as long as the shell or what it becomes lives.
fn hang(at: &str, mode: u32) -> String {
    format!("exec 9<>/dev/fuse; mount -i -t fuse -o fd=9,rootmode={mode},user_id=0,group_id=0 hung {at}")
}

fn can_hang() -> bool {
    let script = format!("mount -t tmpfs none /mnt; {}", hang("/mnt", 40000));
    let mount = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &script])
        .output()
        .unwrap();
    if !mount.status.success() {
        skip("fuse", &String::from_utf8_lossy(&mount.stderr));
    }
    mount.status.success()
}

/// What the agent says that sees something mounted at `at`, which the host's table of mounts does not have.
fn beside(machine: &Machine, at: &str, arguments: &str) -> (String, String) {
    let at = machine.path(at);
    std::fs::create_dir_all(&at).unwrap();
    let output = machine.path("/output").display().to_string();
    let before = hang(&at.display().to_string(), 40000);
    let mut command = machine.agent_after(&before, &format!("{arguments} >{output} 2>{output}.errors"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Running::start(command).exit_code();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    (read(&output), read(&format!("{output}.errors")))
}

#[test]
fn a_directory_that_does_not_answer_costs_the_names_in_it_alone() {
    if !can_hang() {
        return;
    }
    // A home, a directory of root's, and an engine's default one.
    for at in ["/home/edge", "/srv/far", "/var/lib/docker"] {
        let Some(mut machine) = Machine::new() else { return };
        let id = new_id();
        machine.write("/etc/docker/daemon.json", r#"{"data-root":"/srv/far/docker"}"#);
        machine.write("/opt/d/containers/engine-id", "");
        machine.write(&format!("/opt/d/containers/{id}/config.v2.json"), NAMED);
        machine.engine("dockerd", &["--data-root", "/opt/d"], &[], "", "");
        machine.holder(&format!("docker/{id}"));
        let (lines, errors) = beside(&machine, at, "--stdout --format json --once");
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let holders = lines.filter(|line: &serde_json::Value| line["name"] == "accel.device.processes");
        let holders: Vec<_> = holders.map(|line| line["attributes"].clone()).collect();
        let found = shown(of_container(&holders, &id), &["container.name"]);
        assert_eq!(found, expected(&[("container.name", "infer")]), "{at}: {errors}");
        assert!(errors.contains("did not answer in time"), "{at}: {errors}");
        let (said, _) = beside(&machine, at, "doctor --json --set otlp.enabled=false");
        assert!(said.contains("did not answer in time"), "{at}: {said}");
    }
}

/// Whether the device's holders are shown.
fn shows(pull: SocketAddr) -> Option<bool> {
    let body = get(pull, "/metrics")?.body;
    Some(body.lines().any(|line| line.starts_with("accel_device_processes{")))
}

#[test]
fn processing_that_does_not_go_on_shows_and_its_series_end_until_it_does() {
    if !can_hang() {
        return;
    }
    let Some(mut machine) = Machine::new() else { return };
    machine.holder("");
    let (pull, status) = (free_address(), machine.path("/status").display().to_string());
    let log = machine.path("/log").display().to_string();
    let sets = format!("--set otlp.enabled=false --set http.listen={pull} --set status.directory={status}");
    let _agent = Running::start(machine.agent(&format!("{sets} 2>{log}")));
    wait_for("the first holder", || shows(pull)?.then_some(()));
    let is_ready = || Some(get(pull, "/readyz")?.status == 200);
    wait_for("readiness", || is_ready()?.then_some(()));

    // The control groups of the next one are read by the pipeline.
    let (pid, go) = machine.later_holder();
    let file = machine.path(&format!("/proc/{pid}/cgroup")).display().to_string();
    let server = machine.starts(&format!("{} && echo ready && exec sleep 10000", hang(&file, 100_000)));
    std::fs::write(go, "").unwrap();
    let body = wait_for("what it is at", || {
        let answer = get(pull, "/readyz")?;
        (answer.status == 503).then_some(answer.body)
    });
    assert!(
        body.contains("does not go on: it is at the readings of ioctl") && body.contains("in state "),
        "{body}"
    );
    wait_for("the end of the series", || (!shows(pull)?).then_some(()));
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(
        written.contains("ERROR") && written.contains("does not go on"),
        "{written}"
    );
    let doctor = machine.agent(&format!("doctor --json {sets}")).output().unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("the processing of readings does not go on"), "{doctor}");

    machine.stop(server);
    wait_for("the series when it goes on", || {
        (is_ready()? && shows(pull)?).then_some(())
    });
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("goes on again"), "{written}");
}
