//! The program and file systems that answer no more: what waits for them waits alone, and keeps nothing of what others want.
#![cfg(all(feature = "hailo", feature = "nvidia"))]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod fuse_support;
mod hailo_host;
mod nvml_support;
mod program_support;
mod receiver_support;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use free_port::free_address;
use fuse_support::{End, Fuse, hanging};
use hailo_host::{Host, is_root};
use nvml_support::{Fake, h100};
use program_support::{Logged, PATIENCE, Running, get, wait_for};
use receiver_support::Receiver;
use rustix::process::Signal;

/// An agent that a file system may hold, which ends before the agent is waited for.
struct Held {
    _end: End,
    agent: Logged,
}

impl Held {
    fn start(command: Command, served: &Fuse) -> Self {
        Self {
            agent: Logged::start(command),
            _end: served.end(),
        }
    }
}

fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn set(command: &mut Command, settings: &[String]) {
    for setting in settings {
        command.args(["--set", setting]);
    }
}

/// The processes that a process has started and that run.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let all: Vec<u32> = lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    all.into_iter().filter(|pid| runs(*pid)).collect()
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// A request for the metrics on a connection that stays open.
fn scraper(address: SocketAddr) -> TcpStream {
    use std::io::Write;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    stream
}

#[test]
fn an_agent_that_a_file_system_holds_leaves_its_port_to_the_next_one_and_ends_its_children() {
    if !is_root("an_agent_that_a_file_system_holds_leaves_its_port_to_the_next_one_and_ends_its_children") {
        return;
    }
    let (host, fake, receiver) = (Host::new().with_device(), Fake::new(vec![h100(0)]), Receiver::start());
    let dir = host.dir();
    let Some(served) = Fuse::mount(&dir, 0) else { return };
    served.hang();
    let address = free_address();
    let start = || {
        let mut command = host.command(&[], &[]);
        let mut settings = receiver.settings();
        settings.extend([
            format!("http.listen={address}"),
            "nvidia.enabled=auto".to_owned(),
            "nvidia.period=1s".to_owned(),
            format!("nvidia.library={}", fake.library().display()),
        ]);
        set(&mut command, &settings);
        Held::start(command, &served)
    };
    let mut old = start();
    let pid = old.agent.running.0.id();
    wait_for("a worker, and a thread that waits", || {
        let has_begun = !children(pid).is_empty() && !receiver.of("hw.power").is_empty();
        (has_begun && served.unanswered() > 0).then_some(())
    });
    let workers = children(pid);
    let mut scraper = wait_for("the listener", || get(address, "/healthz").map(|_| scraper(address)));
    old.agent.running.terminate();

    old.agent.last_words();
    let mut rest = Vec::new();
    // The end, or a reset: not a wait for ever.
    let closed = scraper.read_to_end(&mut rest);
    assert!(
        !matches!(&closed, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "{closed:?}"
    );
    wait_for("the workers to end", || {
        workers.iter().all(|pid| !runs(*pid)).then_some(())
    });
    let last = receiver.of("hw.power");
    assert!(last.last().unwrap().is_end, "the series have ended: {last:?}");
    wait_for("the kernel to hold it", || hanging(pid));
    assert_eq!(old.agent.running.0.try_wait().unwrap(), None);

    let next = start();
    wait_for("the next agent's listener", || {
        let answer = get(address, "/metrics")?;
        answer.body.contains("hw_power").then_some(())
    });
    assert!(!next.agent.log().contains("cannot listen"), "{}", next.agent.log());
    drop(served);
    assert_eq!(old.agent.running.exit_code(), Some(0));
}

/// What the command says, once it has ended.
fn output(mut command: Command, served: &Fuse) -> (Option<i32>, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    // Where it does not end in time, the test does.
    let end = served.end();
    let code = running.exit_code();
    std::mem::forget(end);
    let mut text = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    running.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn the_doctor_and_check_config_end_though_what_they_look_at_does_not_answer() {
    if !is_root("the_doctor_and_check_config_end_though_what_they_look_at_does_not_answer") {
        return;
    }
    let host = Host::new().with_device();
    let dir = host.dir();
    let Some(served) = Fuse::mount(&dir, 0) else { return };
    let file = served.put("agent.toml", "[otlp]\ninterval = \"7s\"\n");
    let file = file.to_str().unwrap();
    assert_eq!(output(bare(&["check-config", file]), &served).0, Some(0));
    served.hang();
    let (_, said) = output(host.command(&[], &["doctor"]), &served);
    assert!(
        said.contains(&format!("{} did not answer within", dir.display())),
        "{said}"
    );
    assert!(said.contains("umount -l"), "{said}");
    for arguments in [&["check-config", file][..], &["doctor", "--config", file]] {
        let (code, said) = output(bare(arguments), &served);
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(
            said.contains(&format!("{file}: cannot be read: its file system does not answer")),
            "{arguments:?}: {said}"
        );
    }
    assert!(served.unanswered() >= 3, "the requests were read");
}

/// As a container on a file system of FUSE has it, whose server hangs.
#[test]
fn the_doctor_ends_though_the_root_directory_of_a_process_does_not_answer() {
    if !is_root("the_doctor_ends_though_the_root_directory_of_a_process_does_not_answer") {
        return;
    }
    let (host, root) = (Host::new().with_device(), tempfile::tempdir().unwrap());
    let Some(served) = Fuse::mount(root.path(), 0) else {
        return;
    };
    let script = "cd \"$1\" && pivot_root . . && echo ready && read -r end";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, "sh"]).arg(root.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut inside = Running::start(command);
    let mut ready = [0; 6];
    inside.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    served.hang();
    let (_, said) = output(host.command(&[], &["doctor"]), &served);
    assert!(
        said.contains(" attribution: ") && said.contains(" processes "),
        "{said}"
    );
}

#[test]
fn at_the_start_a_file_that_does_not_answer_is_named_in_time() {
    if !is_root("at_the_start_a_file_that_does_not_answer_is_named_in_time") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(served) = Fuse::mount(folder.path(), 0) else {
        return;
    };
    let file = |name: &str| served.put(name, "[otlp]\n").display().to_string();
    let files = ["agent.toml", "headers", "ca", "cert", "token"].map(file);
    served.hang();
    let [config, headers, ca, cert, token] = &files;
    let https = || {
        vec![
            "otlp.endpoint=https://127.0.0.1:1".to_owned(),
            "http.enabled=false".to_owned(),
        ]
    };
    let with = |setting: String| [https(), vec![setting]].concat();
    let listener = |setting: &str| {
        let mut settings = vec![
            "otlp.enabled=false".to_owned(),
            format!("http.listen={}", free_address()),
        ];
        settings.extend(setting.split(' ').map(str::to_owned));
        settings
    };
    let cases = [
        (config, vec!["--config", config.as_str()], https()),
        (headers, vec![], with(format!("otlp.headers_file={headers}"))),
        (ca, vec![], with(format!("otlp.ca_file={ca}"))),
        (
            cert,
            vec![],
            listener(&format!("http.tls.cert_file={cert} http.tls.key_file={cert}")),
        ),
        (token, vec![], listener(&format!("http.auth.bearer_token_file={token}"))),
    ];
    let agents = cases.map(|(file, arguments, settings)| {
        let mut command = bare(&arguments);
        set(&mut command, &settings);
        (file, Held::start(command, &served))
    });
    for (file, agent) in &agents {
        let said = agent.agent.last_words();
        assert!(
            said.contains(file.as_str()) && said.contains("does not answer"),
            "{file}: {said}"
        );
    }
    drop(served);
    for (file, mut agent) in agents {
        let code = agent.agent.running.exit_code();
        assert!(matches!(code, Some(1 | 64)), "{file}: {code:?}");
    }
}

#[test]
fn a_reload_whose_files_do_not_answer_holds_up_nothing_and_names_them() {
    if !is_root("a_reload_whose_files_do_not_answer_holds_up_nothing_and_names_them") {
        return;
    }
    for which in ["agent.toml", "headers_file", "ca_file"] {
        let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start());
        let Some(served) = Fuse::mount(folder.path(), 0) else {
            return;
        };
        let elsewhere = tempfile::tempdir().unwrap();
        let text = format!(
            "http.enabled = false\n[otlp]\nendpoint = \"http://{}\"\nprotocol = \"http/protobuf\"\ninterval = \"100ms\"\n",
            receiver.address
        );
        let credentials = served.put("credentials", "x-scope: 1\n");
        let file = if which == "agent.toml" {
            served.put(which, &text)
        } else {
            let file = elsewhere.path().join("agent.toml");
            fs::write(&file, &text).unwrap();
            file
        };
        let agent = Held::start(bare(&["--config", file.to_str().unwrap()]), &served);
        wait_for("a push", || (!receiver.points().is_empty()).then_some(()));
        served.hang();
        let named: &Path = if which == "agent.toml" { &file } else { &credentials };
        match which {
            "headers_file" => {
                fs::write(&file, format!("{text}headers_file = \"{}\"\n", credentials.display())).unwrap();
            }
            "ca_file" => {
                let text = text.replace("http://", "https://");
                fs::write(&file, format!("{text}ca_file = \"{}\"\n", credentials.display())).unwrap();
            }
            _ => {}
        }
        let times = || {
            let mut times: Vec<u64> = receiver.points().iter().map(|point| point.time).collect();
            times.sort_unstable();
            times.dedup();
            times.len()
        };
        let (before, begun) = (times(), Instant::now());
        agent.agent.running.signal(Signal::HUP);
        agent.agent.wait_for("does not answer within");
        let (collected, waited) = (times() - before, begun.elapsed());
        let log = agent.agent.log();
        let line = log
            .lines()
            .find(|line| line.contains("does not answer within"))
            .unwrap();
        assert!(line.contains("the running configuration is kept"), "{line}");
        assert!(line.contains(named.to_str().unwrap()), "{line}");
        // Ten a second, and fewer on a slow machine. One may have been under way.
        assert!(collected > 1, "{which}: {collected} collections in {waited:?}");
        let before = receiver.points().len();
        wait_for("a push by the settings before", || {
            (receiver.points().len() > before).then_some(())
        });
        // It ends, whatever waits for ever.
        agent.agent.running.signal(Signal::TERM);
        agent.agent.last_words();
    }
}

/// The directory `/etc` of the host is a server's, and that one does not answer.
#[test]
fn the_agent_starts_though_the_host_s_name_and_id_are_on_a_server_that_does_not_answer() {
    if !is_root("the_agent_starts_though_the_host_s_name_and_id_are_on_a_server_that_does_not_answer") {
        return;
    }
    let host = tempfile::tempdir().unwrap();
    let etc = host.path().join("etc");
    fs::create_dir_all(&etc).unwrap();
    fs::create_dir_all(host.path().join("proc")).unwrap();
    fs::write(host.path().join("proc/meminfo"), "MemTotal: 4194304 kB\n").unwrap();
    let Some(served) = Fuse::mount(&etc, 0) else { return };
    for name in ["hostname", "machine-id", "os-release"] {
        served.put(name, "text\n");
    }
    served.hang();
    let (mut command, address) = (bare(&[]), free_address());
    let settings = [
        format!("host.root={}", host.path().display()),
        format!("http.listen={address}"),
        "otlp.enabled=false".to_owned(),
        "status.directory=".to_owned(),
    ];
    set(&mut command, &settings);
    let _agent = Held::start(command, &served);
    wait_for("the host's values", || {
        get(address, "/metrics")?
            .body
            .contains("system_memory_limit")
            .then_some(())
    });
    assert!(served.unanswered() > 0, "it was asked");
}
