//! The program and the monitor files of living processes that are written seldom, or cannot be used.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message, named, put};
use program_support::{Running, get, wait_for};
use prost::Message;
use serde_json::Value;

/// Makes a file; the bytes are those of a whole one.
type Make = fn(&Path, &[u8]);
/// Root without the capabilities to read what it may not.
const WEAK: [&str; 2] = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];

/// Age of the files below: more than the least age limit.
const SELDOM: Duration = Duration::from_millis(6500);

fn one_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn doctor(host: &Host) -> String {
    one_line(&host.output(&["doctor"]).stdout)
}

fn active(points: &[Value]) -> Option<i64> {
    named(points, "hailo.monitor.active").first()?["value"].as_i64()
}

#[test]
fn values_stay_while_the_next_write_of_a_living_process_is_not_overdue() {
    // Three times as long a slow machine may take to look.
    let seldom = ["60000", "30000", "2147483647"];
    // Not a number of milliseconds for the runtime: a second. The last is that of no interval at all.
    let often = [
        Some("1000"),
        Some("100"),
        Some("15s"),
        Some("99999999999"),
        Some(""),
        None,
    ];
    let cases: Vec<_> = seldom.map(Some).into_iter().chain(often).collect();
    let mut writers: Vec<_> = cases.iter().map(|interval| Writer::new(*interval)).collect();
    let started = Instant::now();
    // A file that is older than its process is of another one.
    wait_for("the writers to be older than their files", || {
        (started.elapsed() > SELDOM).then_some(())
    });
    for (writer, interval) in writers.iter_mut().zip(&cases) {
        let host = Host::new().with_device();
        host.file_of(writer, SELDOM);
        let points = host.look();
        let doctor = doctor(&host);
        assert!(
            doctor.contains(&format!("{} of process {} (sleep)", writer.name(), writer.pid())),
            "{doctor}"
        );
        let absent = format!(
            "process {} (sleep) uses a Hailo and was started with HAILO_MONITOR=1, but",
            writer.pid()
        );
        assert!(!doctor.contains(&absent), "{doctor}");
        if interval.is_some_and(|interval| seldom.contains(&interval)) {
            let variable = format!("HAILO_MONITOR_TIME_INTERVAL={}", interval.unwrap());
            assert_eq!(active(&points), Some(1), "{variable}");
            assert_eq!(
                named(&points, "hailo.process.utilization")[0]["value"],
                0.57,
                "{variable}"
            );
            assert!(doctor.contains("was written") && doctor.contains(&variable), "{doctor}");
            writer.child.kill().unwrap();
            writer.child.wait().unwrap();
            let points = host.look();
            assert_eq!(
                (active(&points), named(&points, "hailo.process.utilization").len()),
                (Some(0), 0),
                "dead"
            );
        } else {
            assert_eq!(active(&points), Some(0), "{interval:?}");
            assert!(doctor.contains("s ago, though it is due every"), "{doctor}");
        }
    }
}

#[test]
fn a_seldom_writer_that_cannot_be_looked_into_is_named_with_the_age_of_its_file() {
    if !is_root("a_seldom_writer_that_cannot_be_looked_into_is_named_with_the_age_of_its_file") {
        return;
    }
    let writer = Writer::of_user(OTHER, Some("60000"));
    let started = Instant::now();
    wait_for("the writer to be older than its file", || {
        (started.elapsed() > SELDOM).then_some(())
    });
    let host = Host::new();
    let path = host.file_of(&writer, SELDOM);
    let blind = ["setpriv", "--bounding-set=-sys_ptrace"];
    let look = ["--stdout", "--once", "--set", "hailo.enabled=true"];
    let log = one_line(&host.command(&blind, &look).output().unwrap().stderr);
    assert!(log.contains(&format!("{} was last written", path.display())), "{log}");
    assert!(!log.contains("no monitor file found"), "{log}");
    let doctor = one_line(&host.command(&blind, &["doctor"]).output().unwrap().stdout);
    let what = format!("{} was last written", path.display());
    assert!(
        doctor.contains(&what) && doctor.contains("its interval is not known"),
        "{doctor}"
    );
    // Its interval is in its environment, which may be read here.
    let points = host.look();
    assert_eq!(active(&points), Some(1), "{points:?}");
}

#[test]
fn a_file_that_is_being_written_at_the_start_is_shown_beside_any_number_of_others() {
    let writer = Writer::new(Some("60000"));
    for others in [0, 257, 300, 5_000] {
        let host = Host::new().with_device();
        for nth in 0..others {
            let path = host.dir().join(format!("{}aaaaaa", 4_194_400 + nth));
            File::create(&path).unwrap();
            // Without the right to that they are all of one user.
            chown(&path, Some(OTHER), None).ok();
        }
        let live = File::options().append(true).open(host.file_of(&writer, Duration::ZERO));
        let live = live.unwrap();
        let mut command = host.command(&[], &["--stdout", "--once", "--format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut agent = Running::start(command);
        let descriptors = format!("/proc/{}/fd", agent.0.id());
        // Modified without an event until the agent watches the directory, so that its look is just after a write.
        wait_for("the agent to look", || {
            let written = SystemTime::now() - Duration::from_millis(15);
            live.set_modified(written).unwrap();
            let mut open = fs::read_dir(&descriptors).into_iter().flatten().flatten();
            let watches =
                open.any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.ends_with("anon_inode:inotify")));
            (watches || agent.0.try_wait().unwrap().is_some()).then_some(())
        });
        let mut text = String::new();
        agent.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let points: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(active(&points), Some(1), "beside {others}");
        assert_eq!(named(&points, "hailo.process.utilization").len(), 1, "beside {others}");
    }
}

/// An agent that is pulled, and where from.
fn pulled(host: &Host) -> (Running, SocketAddr) {
    let pull = free_address();
    let mut command = host.command(&[], &[]);
    command.args(["--set", &format!("http.listen={pull}"), "--set", "otlp.enabled=false"]);
    command.stderr(Stdio::null());
    (Running::start(command), pull)
}

#[test]
fn between_two_writes_a_running_agent_keeps_a_seldom_writer_active() {
    let host = Host::new();
    let dir = host.dir().display().to_string();
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_agent"));
    simulator.args(["simulate", "hailo", "--dir", &dir, "--interval", "7s"]);
    let simulator = Running::start(simulator);
    let (_agent, pull) = pulled(&host);
    let active = || {
        let body = get(pull, "/metrics")?.body;
        let line = body.lines().find(|line| line.starts_with("hailo_monitor_active{"))?;
        Some(line.ends_with(" 1"))
    };
    wait_for("the first write", || active()?.then_some(()));
    // It is written again only after that.
    let until = Instant::now() + SELDOM;
    wait_for("most of an interval", || {
        assert_eq!(
            active(),
            Some(true),
            "{:?} before the next write",
            until - Instant::now()
        );
        (Instant::now() >= until).then_some(())
    });
    // A killed simulator leaves its writer no time to remove the file.
    drop(simulator);
    wait_for("its end", || (active() != Some(true)).then_some(()));
}

#[test]
fn a_file_of_a_living_process_that_cannot_be_shown_is_named_with_the_reason() {
    let writer = Writer::new(None);
    let whole = message(writer.pid(), 57.0).encode_to_vec();
    let cases: [(&str, Make); 6] = [
        ("is empty", |path, _| put(path, &[], Duration::from_secs(3))),
        ("is cut off in the middle of a field", |path, whole| {
            put(path, &whole[..=whole.len() / 2], Duration::from_secs(3));
        }),
        ("is not as scheduler_mon.proto", |path, _| {
            put(path, b"\x0a\x017\x12\x03\x0a\x01\xff", Duration::from_secs(3));
        }),
        ("is a symbolic link", |path, _| symlink("/etc/passwd", path).unwrap()),
        ("is a directory", |path, _| fs::create_dir(path).unwrap()),
        ("is a pipe", |path, _| {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
        }),
    ];
    for (reason, make) in cases {
        let host = Host::new();
        let path = host.dir().join(writer.name());
        make(&path, &whole);
        let what = format!("{} of process {} (sleep) {reason}", path.display(), writer.pid());
        let doctor = doctor(&host);
        assert!(doctor.contains(&what), "{what}: {doctor}");
        let log = one_line(&host.output(&["--stdout", "--once"]).stderr);
        let line = format!("{} {reason}", path.display());
        assert_eq!(log.matches(&line).count(), 1, "{line}: {log}");
        let required = host.output(&["--stdout", "--once", "--set", "hailo.enabled=true"]);
        let log = one_line(&required.stderr);
        assert!(
            !log.contains("no monitor file found") && log.contains("no monitor file can be shown"),
            "{log}"
        );
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named_with_its_owner() {
    if !is_root("a_file_that_may_not_be_read_is_named_with_its_owner") {
        return;
    }
    let host = Host::new();
    let writer = Writer::new(None);
    let path = host.file_of(&writer, Duration::from_secs(3));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(OTHER), None).unwrap();
    let reason = format!("cannot be read (mode 600, owned by user {OTHER}): Permission denied");
    let doctor = one_line(&host.command(&WEAK, &["doctor"]).output().unwrap().stdout);
    assert!(
        doctor.contains(&format!("of process {} (sleep) {reason}", writer.pid())),
        "{doctor}"
    );
    let log = one_line(&host.command(&WEAK, &["--stdout", "--once"]).output().unwrap().stderr);
    assert!(
        log.contains(&format!("{} {reason}", path.display())) && log.contains("CAP_DAC_READ_SEARCH"),
        "{log}"
    );
}

#[test]
fn whether_a_device_is_monitored_is_absent_where_it_cannot_be_known() {
    if !is_root("whether_a_device_is_monitored_is_absent_where_it_cannot_be_known") {
        return;
    }
    let looked = |host: &Host| {
        let look = ["--stdout", "--once", "--format", "json"];
        let output = host.command(&WEAK, &look).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let points: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(named(&points, "hailo.device.info").len(), 1, "{text}");
        active(&points)
    };
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let host = Host::new().with_device();
    assert_eq!(looked(&host), Some(0), "an empty directory");
    let mut writer = Writer::new(Some("60000"));
    let path = host.file_of(&writer, Duration::ZERO);
    let whole = message(writer.pid(), 57.0).encode_to_vec();
    assert_eq!(looked(&host), Some(1));
    mode(&path, 0o000);
    assert_eq!(looked(&host), None, "a file that may not be read");
    put(&path, &whole, Duration::from_secs(60));
    assert_eq!(looked(&host), None, "and is not overdue");
    put(&path, &whole, Duration::from_secs(240));
    assert_eq!(looked(&host), Some(0), "it is not written any more");
    put(&path, &whole, Duration::ZERO);
    chown(&path, Some(OTHER), None).unwrap();
    assert_eq!(looked(&host), Some(0), "another user's file is not the process'");
    mode(&path, 0o644);
    chown(&path, Some(0), None).unwrap();
    for (place, closed) in [(host.dir(), 0o700), (host.dir(), 0o744), (host.dir().join(".."), 0o700)] {
        chown(&place, Some(OTHER), None).unwrap();
        mode(&place, closed);
        assert_eq!(looked(&host), None, "{} with mode {closed:o}", place.display());
        mode(&place, 0o755);
    }
    put(&path, &whole, Duration::ZERO);
    assert_eq!(looked(&host), Some(1));
    put(&path, &whole[..=whole.len() / 2], Duration::from_secs(3));
    assert_eq!(looked(&host), None, "a file that is cut off");
    mode(&path, 0o000);
    writer.child.kill().unwrap();
    writer.child.wait().unwrap();
    assert_eq!(looked(&host), Some(0), "its process has ended");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(host.dir()).unwrap();
    assert_eq!(looked(&host), Some(0), "no directory");
}

#[test]
fn a_device_of_a_writer_that_cannot_be_seen_is_not_called_unmonitored() {
    let host = Host::new().with_device();
    let (_agent, pull) = pulled(&host);
    let active = || {
        let body = get(pull, "/metrics")?.body;
        body.contains("hailo_device_info{").then_some(())?;
        let line = body.lines().find(|line| line.starts_with("hailo_monitor_active{"));
        Some(line.map(|line| line.ends_with(" 1")))
    };
    let path = host.dir().join("4194400aB3dEf");
    let write = || put(&path, &message(4_194_400, 57.0).encode_to_vec(), Duration::ZERO);
    write();
    wait_for("a file of a process that has ended", || {
        (active()? == Some(false)).then_some(())
    });
    wait_for("a file that is still written", || {
        write();
        active()?.is_none().then_some(())
    });
    wait_for("a file that is not", || (active()? == Some(false)).then_some(()));
}

#[test]
fn a_directory_that_may_not_be_searched_is_named() {
    if !is_root("a_directory_that_may_not_be_searched_is_named") {
        return;
    }
    let host = Host::new();
    let writer = Writer::new(None);
    host.file_of(&writer, Duration::from_secs(3));
    fs::set_permissions(host.dir(), fs::Permissions::from_mode(0o744)).unwrap();
    chown(host.dir(), Some(OTHER), None).unwrap();
    for arguments in [&["doctor"][..], &["--stdout", "--once"]] {
        let output = host.command(&WEAK, arguments).output().unwrap();
        let text = one_line(&output.stdout) + &one_line(&output.stderr);
        let what = format!("{} cannot be listed: Permission denied", host.dir().display());
        assert!(text.contains(&what) && text.contains("run the agent as root"), "{text}");
    }
}

#[test]
fn a_file_of_a_process_that_does_not_fit_is_not_called_absent() {
    let before = Instant::now();
    let writer = Writer::new(None);
    let host = Host::new().lasting();
    // Of a process that has ended, and written before the one that has its id now has started.
    for (pid, is_before) in [(4_194_400, false), (writer.pid(), true)] {
        let path = host.dir().join(format!("{pid}aB3dEf"));
        let age = if is_before {
            before.elapsed() + Duration::from_secs(4)
        } else {
            Duration::ZERO
        };
        put(&path, &message(pid, 57.0).encode_to_vec(), age);
        let required = host.output(&["--stdout", "--once", "--set", "hailo.enabled=true"]);
        let log = one_line(&required.stderr);
        assert!(log.contains(&format!("{} was written", path.display())), "{log}");
        let why = [
            "by a process that has ended or cannot be seen",
            "and no process with its id can have written it",
        ];
        assert!(why.iter().any(|why| log.contains(why)), "{log}");
        let doctor = doctor(&host);
        assert!(
            doctor.contains(&format!(
                "{} was written just now, by a process that is not there",
                path.display()
            )),
            "{doctor}"
        );
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_that_a_process_left_behind_is_no_finding_about_a_living_one() {
    let host = Host::new();
    let pid = {
        let writer = Writer::new(None);
        host.file_of(&writer, Duration::from_secs(60));
        writer.pid()
    };
    let doctor = doctor(&host);
    let (_, said) = doctor.split_once(&format!("{pid}aB3dEf was last written ")).unwrap();
    let (age, why) = said.split_once(" s ago, and ").unwrap();
    assert!((60..600).contains(&age.parse::<u32>().unwrap()), "{doctor}");
    assert!(why.starts_with(&format!("no process with its id {pid}")), "{doctor}");
    assert!(doctor.contains("remove them"), "{doctor}");
}

/// The first thread of this process ends, and another one goes on.
fn without_first_thread() -> Option<std::process::Child> {
    let exit = if cfg!(target_arch = "x86_64") { 60 } else { 93 };
    let program = format!(
        "import ctypes, threading, time\n\
         threading.Thread(target=time.sleep, args=(600,)).start()\n\
         ctypes.CDLL(None).syscall({exit}, 0)\n"
    );
    let mut command = std::process::Command::new("python3");
    command.args(["-c", &program]).env("HAILO_MONITOR", "1");
    let child = command.env("HAILO_MONITOR_TIME_INTERVAL", "60000").spawn().ok()?;
    wait_for("the end of its first thread", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
        stat.rsplit_once(')')?.1.trim_start().starts_with('Z').then_some(())
    });
    Some(child)
}

#[test]
fn a_writer_whose_first_thread_has_ended_is_found_with_its_interval() {
    let host = Host::new().with_device();
    let Some(mut child) = without_first_thread() else {
        return skip_test::skip(
            "python3",
            "a_writer_whose_first_thread_has_ended_is_found_with_its_interval",
        );
    };
    let (pid, name) = (child.id(), format!("{}aB3dEf", child.id()));
    let bytes = message(pid, 57.0).encode_to_vec();
    // By the environment of its other thread it is not overdue.
    let (started, path) = (Instant::now(), host.dir().join(name));
    wait_for("the process to be older than its file", || {
        (started.elapsed() > SELDOM).then_some(())
    });
    put(&path, &bytes, SELDOM);
    let points = host.look();
    child.kill().unwrap();
    child.wait().unwrap();
    let used = named(&points, "hailo.process.utilization");
    let of = used.iter().map(|point| point["attributes"]["process.pid"].as_u64());
    assert_eq!(of.collect::<Vec<_>>(), [Some(u64::from(pid))], "{points:?}");
}
