//! The manifests configure this version of the agent and are consistent with each other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use accelscope::cli::EXIT_USAGE;
use accelscope::config::{ConfigFile, Environment, Inputs, Loaded, load};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The variables of the containers in a manifest: a line `- name: NAME` and the line `value: VALUE` after it. Those from
/// the downward API get `node-1`.
fn variables(manifest: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let value = |after: &str| match after.strip_prefix("value: ") {
        Some(value) => Some(value.trim_matches('"').to_owned()),
        None => (after == "valueFrom:").then(|| "node-1".to_owned()),
    };
    lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix("- name: ")?.to_owned(), value(pair[1])?)))
        .collect()
}

/// Environment of a pod made of these manifests.
fn loaded(manifests: &[&str]) -> Loaded {
    let mut env: Vec<_> = manifests.iter().flat_map(|name| variables(&text(name))).collect();
    env.push(("KUBERNETES_SERVICE_HOST".into(), "198.51.100.1".into()));
    let inputs = Inputs {
        file: ConfigFile::Required(path("kustomize/base/agent.toml")),
        env: env.into_iter().collect::<Environment>(),
        sets: Vec::new(),
    };
    load(&inputs, accelscope::SOURCES).unwrap_or_else(|errors| panic!("{errors}"))
}

const DAEMON_SET: &str = "kustomize/base/daemon-set.yaml";

#[test]
fn the_daemon_set_runs_the_agent_where_it_mounts_the_host_and_probes_it_where_it_listens() {
    let loaded = loaded(&[DAEMON_SET]);
    let manifest = text(DAEMON_SET);
    assert_eq!(loaded.warnings, Vec::<String>::new());

    let root = loaded.config.host.root.display();
    assert!(
        manifest.contains(&format!("mountPath: {root}\n")),
        "nothing is mounted at host.root = {root}"
    );

    let listen = loaded.config.http.listen;
    assert!(listen.ip().is_unspecified(), "the kubelet cannot reach {listen}");
    assert!(
        manifest.contains(&format!("containerPort: {}\n", listen.port())),
        "no port of the container is {listen}"
    );

    let resource = &loaded.config.resource;
    assert_eq!(
        resource.get("k8s.node.name").map(ToString::to_string).as_deref(),
        Some("node-1")
    );
}

#[test]
fn the_daemon_set_pushes_to_the_collector_s_service() {
    let destinations = loaded(&[DAEMON_SET]).config.destinations();
    let [destination] = destinations.as_slice() else {
        panic!("{destinations:?}");
    };
    let host = destination.endpoint.host_str().unwrap_or_default();
    let port = destination.endpoint.port().unwrap_or_default();
    let service = text("kustomize/collector/service.yaml");
    assert!(
        service.contains(&format!("  name: {host}\n")),
        "no Service is named {host}"
    );
    assert!(
        service.contains(&format!("port: {port}\n")),
        "the Service has no port {port}"
    );
}

#[test]
fn the_overlay_for_scraping_pushes_nothing() {
    let loaded = loaded(&[DAEMON_SET, "kustomize/overlays/prometheus-scrape/pull-only.yaml"]);
    assert!(
        loaded.config.destinations().is_empty(),
        "{:?}",
        loaded.config.destinations()
    );
    assert!(loaded.config.http.enabled, "and it serves nothing either");
}

#[cfg(feature = "ioctl")]
#[test]
fn the_component_without_ebpf_leaves_the_scan_and_nothing_to_complain_of() {
    use accelscope_ioctl::{Configuration, Hooks};
    let hooks = |manifests: &[&str]| -> Option<Vec<_>> {
        let config = loaded(manifests).config;
        match &config.sources.get::<Configuration>("ioctl").unwrap().hooks {
            Hooks::Auto => None,
            Hooks::Only(hooks) => Some(hooks.iter().map(|hook| hook.as_str()).collect()),
        }
    };
    // With the least capabilities, raw tracepoints are all that Debian's kernels leave.
    let all = ["fentry", "kprobe", "tracepoint", "raw_tracepoint"].to_vec();
    assert_eq!(hooks(&[DAEMON_SET]), Some(all));
    let without = hooks(&[DAEMON_SET, "kustomize/components/no-ebpf/daemon-set.yaml"]);
    assert_eq!(without, Some(vec!["scan"]));
}

const MIB: u64 = 1 << 20;

/// What a pod takes beside the agent's own process, in bytes: eBPF maps; sockets, page tables and files; a worker with the
/// vendor's library; `agent doctor`.
const BESIDE: [u64; 4] = [8 * MIB, 8 * MIB, 24 * MIB, DOCTOR];
const DOCTOR: u64 = 32 * MIB;

/// The limit of memory in a manifest, in bytes.
fn memory_limit(manifest: &str) -> Option<u64> {
    let text = text(manifest);
    let (_, limits) = text.split_once("limits:\n")?;
    let line = limits.lines().find_map(|line| line.trim().strip_prefix("memory: "))?;
    Some(line.strip_suffix("Mi")?.parse::<u64>().ok()? * MIB)
}

#[test]
fn the_pod_s_limit_has_room_for_the_agent_the_maps_a_worker_and_a_doctor() {
    let beside: u64 = BESIDE.into_iter().sum();
    let manifests = [
        DAEMON_SET,
        "kustomize/components/nvidia/daemon-set.yaml",
        "kustomize/components/nvidia-privileged/daemon-set.yaml",
    ];
    for manifest in manifests {
        let limit = memory_limit(manifest).unwrap_or_else(|| panic!("{manifest} has no limit"));
        let (agent, doubt) = loaded(&[DAEMON_SET]).config.limits.memory_within(Some(limit));
        assert_eq!(doubt, None);
        assert_eq!(
            agent,
            accelscope_core::budget::DEFAULT,
            "{manifest} leaves the agent less"
        );
        assert!(
            agent + beside <= limit,
            "{manifest}: {limit} is less than {agent} and {beside}"
        );
    }
    #[cfg(feature = "ioctl")]
    assert!(accelscope_ioctl::kernel::budget::BUDGET <= BESIDE[0]);
}

/// Largest resident memory of `agent doctor`, read while it runs.
#[test]
fn a_doctor_takes_no_more_than_the_pod_has_for_it() {
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_agent"))
        .arg("doctor")
        .env_clear()
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", doctor.id());
    let mut peak = 0;
    while doctor.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(now.unwrap_or_default() << 10);
        std::thread::yield_now();
    }
    assert!(peak <= DOCTOR, "{peak} bytes");
}

/// The names after `CAP_` in the unit's line.
fn unit_capabilities(setting: &str) -> BTreeSet<String> {
    let unit = text("systemd/accelscope-agent.service");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(setting)?.strip_prefix('='));
    let names = line.unwrap_or_else(|| panic!("the unit has no {setting}")).split(' ');
    names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
}

#[test]
fn the_pod_and_the_unit_have_the_same_capabilities() {
    let manifest = text(DAEMON_SET);
    let (_, added) = manifest
        .split_once("              add:\n")
        .expect("capabilities that are added");
    let pod: BTreeSet<_> = added
        .lines()
        .map_while(|line| line.trim().strip_prefix("- ").or(line.trim().strip_prefix('#')))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .map(ToOwned::to_owned)
        .collect();
    assert!(pod.contains("BPF") && !pod.contains("SYS_ADMIN"), "{pod:?}");
    assert_eq!(unit_capabilities("AmbientCapabilities"), pod);
    assert_eq!(unit_capabilities("CapabilityBoundingSet"), pod);
}

/// systemd's own verification of the unit.
#[test]
fn systemd_understands_the_unit_and_its_filter_lets_ebpf_through() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("accelscope-agent.service");
    // The check requires the program to exist.
    let here = text("systemd/accelscope-agent.service").replace("/usr/local/bin/agent", "/bin/true");
    std::fs::write(&unit, here).unwrap();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output();
    let Ok(verify) = verify else {
        return skip_test::skip("systemd", "systemd-analyze is not here");
    };
    let said = String::from_utf8_lossy(&verify.stderr);
    // Other units of the machine may be at fault too.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("accelscope")).collect();
    assert_eq!(ours, Vec::<&str>::new());
    let filter = text("systemd/accelscope-agent.service");
    let lines: Vec<_> = filter
        .lines()
        .filter(|line| line.starts_with("SystemCallFilter="))
        .collect();
    // systemd evaluates them in order: a later line cannot remove what an earlier one has named.
    assert_eq!(lines.last(), Some(&"SystemCallFilter=bpf perf_event_open setpriority"));
}

#[test]
fn systemd_does_not_restart_over_a_wrong_configuration() {
    let line = format!("RestartPreventExitStatus={EXIT_USAGE}\n");
    assert!(
        text("systemd/accelscope-agent.service").contains(&line),
        "it needs {line}"
    );
}
