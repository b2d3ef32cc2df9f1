//! The program and monitor files that claim processes on a host with a great many of them.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use free_port::free_address;
use hailo_host::{Host, message, put};
use program_support::{Logged, Running, get, wait_for};
use prost::Message;

/// Processes of the made-up host, and how often files that claim some of them are made anew.
const PROCESSES: u32 = 4000;
const FIRST: u32 = 10_000;
const ROUNDS: u32 = 12;
const CLAIMS: u32 = 20;

/// A host with these processes instead of the real ones: the ids that each has in its PID namespaces.
fn host(ids: impl IntoIterator<Item = (u32, String)>) -> Host {
    let host = Host::new().lasting().with_device();
    let proc = proc_of(&host);
    fs::remove_file(&proc).unwrap();
    for (pid, ids) in ids {
        let process = proc.join(pid.to_string());
        fs::create_dir_all(&process).unwrap();
        let status = format!("Name:\ta\nUid:\t{0}\t{0}\t{0}\t{0}\nNSpid:\t{ids}\n", 65_534);
        fs::write(process.join("status"), status).unwrap();
    }
    host
}

fn proc_of(host: &Host) -> PathBuf {
    let root = host.settings().into_iter().find_map(|setting| {
        let root = setting.strip_prefix("host.root=")?;
        Some(PathBuf::from(root))
    });
    root.unwrap().join("proc")
}

fn claim(host: &Host, pid: u32, suffix: &str) {
    let temporary = host.dir().join(format!("{pid}{suffix}.tmp"));
    put(&temporary, &message(pid, 57.0).encode_to_vec(), Duration::ZERO);
    fs::rename(&temporary, host.dir().join(format!("{pid}{suffix}"))).unwrap();
}

#[test]
fn each_process_is_read_once_however_often_files_claim_it() {
    let host = host((FIRST..FIRST + PROCESSES).map(|pid| (pid, pid.to_string())));
    let pull = free_address();
    let mut command = host.command(&[], &[]);
    command.args(["--set", &format!("http.listen={pull}"), "--set", "otlp.enabled=false"]);
    command.stderr(Stdio::null());
    let agent = Running::start(command);
    let searched = || {
        let body = get(pull, "/metrics")?.body;
        let line = body.lines().find(|line| {
            line.starts_with("agent_sampler_skipped_total{")
                && line.contains("\"hailo\"")
                && line.contains("writer_ended")
        })?;
        line.rsplit_once(' ')?.1.parse::<u32>().ok()
    };
    let reads = || {
        let text = fs::read_to_string(format!("/proc/{}/io", agent.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("syscr: "));
        line.unwrap().parse::<u32>().unwrap()
    };
    let round = |nth: u32| {
        for pid in FIRST..FIRST + CLAIMS {
            claim(&host, pid, &format!("aaaa{nth:02}"));
            if let Some(before) = nth.checked_sub(1) {
                fs::remove_file(host.dir().join(format!("{pid}aaaa{before:02}"))).unwrap();
            }
        }
        // None of them has written it: the processes of this host have nothing but their ids.
        wait_for("the search for its writers", || {
            (searched()? >= CLAIMS * (nth + 1)).then_some(())
        });
    };
    round(0);
    let before = reads();
    for nth in 1..=ROUNDS {
        round(nth);
    }
    let more = reads() - before;
    assert!(more < ROUNDS * PROCESSES / 2, "{more} reads");
}

/// What the doctor says of a file that no process has written on a host with these processes.
fn doctor(ids: &[(u32, &str)], pid: u32) -> String {
    let host = host(ids.iter().map(|(pid, ids)| (*pid, (*ids).to_owned())));
    claim(&host, pid, "aB3dEf");
    let said = host.output(&["doctor"]).stdout;
    let said = String::from_utf8_lossy(&said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("by a process that is not there"), "{said}");
    // From there to the end of what is advised.
    said.split_once("by a process that is not there").unwrap().1.to_owned()
}

#[test]
fn the_host_s_pid_namespace_is_advised_only_where_it_is_missing() {
    let advised = |said: &str| said.contains("(hostPID: true)");
    let own = [(1, "1"), (7, "7")];
    assert!(advised(&doctor(&own, 99)), "of a container");
    assert!(advised(&doctor(&own, 7)), "another process has the id there");
    // Those of containers are there.
    let node = [(1, "1"), (30, "30\t1")];
    for pid in [99, 30, 1] {
        let said = doctor(&node, pid);
        assert!(!advised(&said), "{pid}: {said}");
    }
}

#[test]
fn where_every_process_is_there_no_other_namespace_is_advised() {
    // The real processes: with the kernel's threads it is the machine.
    let is_machine = fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n");
    if !is_machine {
        return skip_test::skip("machine", "where_every_process_is_there_no_other_namespace_is_advised");
    }
    let host = Host::new().lasting().with_device();
    let mut command = host.command(&[], &["--stdout", "--format", "json"]);
    command.stdout(Stdio::null());
    let agent = Logged::start(command);
    let logged = wait_for("the warning of a file that is written", || {
        claim(&host, 4_194_400, "aB3dEf");
        let log = agent.log();
        Some(
            log.lines()
                .find(|line| line.contains("a monitor file is written"))?
                .to_owned(),
        )
    });
    assert!(
        !logged.contains("hostPID") && logged.contains("find who writes it"),
        "{logged}"
    );
}
