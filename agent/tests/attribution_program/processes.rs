//! Processes in what the doctor says: each with its command and its pod or container.

use super::{Machine, new_id};

#[test]
fn the_doctor_names_command_and_pod_beside_the_id_of_a_process() {
    let Some(mut machine) = Machine::new() else { return };
    let (in_pod, in_container) = (new_id(), new_id());
    machine.write(
        &format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{in_pod}/config.json"),
        r#"{"annotations":{"io.kubernetes.pod.name":"vision-0","io.kubernetes.pod.namespace":"edge",
            "io.kubernetes.container.name":"detector"}}"#,
    );
    machine.write(
        &format!("/var/lib/docker/containers/{in_container}/config.v2.json"),
        r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15","Labels":{}}}"#,
    );
    let of_pod = machine.holder(&format!(
        "kubepods/besteffort/pod1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9/{in_pod}"
    ));
    let of_container = machine.holder(&format!("system.slice/docker-{in_container}.scope"));
    let of_unit = machine.holder("system.slice/infer.service");
    for pid in [of_pod, of_container, of_unit] {
        machine.write(&format!("/tmp/hmon_files/{pid}abcdef"), "no monitor file");
    }
    let said = machine.doctor();
    for (pid, who) in [
        (of_pod, "sleep, pod edge/vision-0"),
        (of_container, "sleep, container frigate"),
        (of_unit, "sleep"),
    ] {
        let expected = format!("/tmp/hmon_files/{pid}abcdef of process {pid} ({who}) is ");
        assert!(said.contains(&expected), "{expected}\n{said}");
    }
}
