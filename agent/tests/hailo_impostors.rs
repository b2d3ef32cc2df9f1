//! The program and monitor files that claim a process of another user. As root, with real processes of two users.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use accelscope_proto::hailo::ProtoMon;
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message, named, put};
use program_support::{Running, get, wait_for};
use prost::Message;
use serde_json::Value;

/// A frame rate that no process of these tests has.
const LIE: f64 = 999.0;

/// What the impostor says of that process.
fn lie(pid: u32) -> Vec<u8> {
    let mut message: ProtoMon = message(pid, 100.0);
    message.networks_infos[0].fps = LIE;
    message.encode_to_vec()
}

fn put_as(user: u32, path: &Path, bytes: &[u8]) {
    put(path, bytes, Duration::ZERO);
    chown(path, Some(user), None).unwrap();
}

/// The frame rates with a process, and those without one.
fn rates(points: &[Value]) -> (Vec<f64>, Vec<f64>) {
    let rate = |point: &&Value| point["value"].as_f64().unwrap();
    let has_process = |point: &&&Value| point.to_string().contains("\"process.executable.name\"");
    let all = named(points, "hailo.network.frame_rate");
    let (with, without): (Vec<_>, Vec<_>) = all.iter().partition(|point| has_process(point));
    (
        with.into_iter().map(rate).collect(),
        without.into_iter().map(rate).collect(),
    )
}

#[test]
fn another_user_s_file_takes_neither_the_process_nor_anything_of_its_own_file() {
    if !is_root("another_user_s_file_takes_neither_the_process_nor_anything_of_its_own_file") {
        return;
    }
    for (owner, impostor) in [(0, OTHER), (OTHER, OTHER + 1), (OTHER, 0)] {
        // Before and behind it by name, with its id and without.
        for suffix in ["aaaaaa", "zzzzzz", "zzzzzz.old"] {
            let (host, writer) = (Host::new().lasting().with_device(), Writer::of_user(owner, None));
            let own = host.file_of(&writer, Duration::ZERO);
            let false_one = host.dir().join(format!("{}{suffix}", writer.pid()));
            put_as(impostor, &false_one, &lie(writer.pid()));
            let points = host.look();
            assert_eq!(rates(&points), (vec![30.0], vec![LIE]), "{owner} {impostor} {suffix}");
            let device = named(&points, "hw.npu.utilization");
            assert_eq!(device[0]["value"], 0.57, "of the device's process alone");
            let doctor = host.output(&["doctor"]).stdout;
            let doctor = String::from_utf8_lossy(&doctor)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let why = format!("but user {impostor} owns it, which that process does not run as");
            assert!(doctor.contains(&why), "{doctor}");
            fs::remove_file(own).unwrap();
            assert_eq!(rates(&host.look()), (vec![], vec![LIE]), "alone");
        }
    }
}

#[test]
fn other_names_and_copies_of_a_file_take_nothing_from_it() {
    if !is_root("other_names_and_copies_of_a_file_take_nothing_from_it") {
        return;
    }
    let (host, writer) = (Host::new().lasting().with_device(), Writer::of_user(OTHER, None));
    let own = host.file_of(&writer, Duration::ZERO);
    for (nth, name) in ["aaaaaa", "zzzzzz"].iter().enumerate() {
        fs::hard_link(&own, host.dir().join(format!("{}{name}", writer.pid()))).unwrap();
        symlink(&own, host.dir().join(format!("{}{nth}links", writer.pid()))).unwrap();
    }
    let points = host.look();
    assert_eq!(rates(&points), (vec![30.0], vec![]));
    assert_eq!(named(&points, "hw.npu.utilization")[0]["value"], 0.57);
}

#[test]
fn what_every_user_may_write_to_speaks_for_its_process_only_under_the_name_that_hailort_gives_it() {
    if !is_root("what_every_user_may_write_to_speaks_for_its_process_only_under_the_name_that_hailort_gives_it") {
        return;
    }
    let (host, writer) = (Host::new().lasting(), Writer::new(None));
    let own = host.file_of(&writer, Duration::ZERO);
    assert_eq!(rates(&host.look()), (vec![30.0], vec![]));
    // As HailoRT 5.3 makes it.
    fs::set_permissions(&own, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(rates(&host.look()), (vec![30.0], vec![]));
    let other = host.dir().join("monitor");
    fs::rename(&own, &other).unwrap();
    let own = other;
    let mut nobody = Command::new("setpriv");
    nobody
        .args([&format!("--reuid={OTHER}"), "--clear-groups", "tee"])
        .arg(&own);
    let told = host.dir().join("../told");
    fs::write(&told, lie(writer.pid())).unwrap();
    let written = nobody
        .stdin(File::open(told).unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(written.success());
    assert_eq!(rates(&host.look()), (vec![], vec![LIE]));
}

#[test]
fn a_process_that_changed_its_user_owns_the_files_of_both() {
    if !is_root("a_process_that_changed_its_user_owns_the_files_of_both") {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--euid={OTHER}"), "sleep", "600"]);
    command.env("HAILO_MONITOR", "1");
    let process = Running::start(command);
    let pid = process.0.id();
    wait_for("it to change its user", || {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm == "sleep\n").then_some(())
    });
    for (owner, is_its) in [(0, true), (OTHER, true), (OTHER + 1, false)] {
        let host = Host::new().lasting();
        put_as(
            owner,
            &host.dir().join(format!("{pid}aB3dEf")),
            &message(pid, 57.0).encode_to_vec(),
        );
        let (with, without) = rates(&host.look());
        assert_eq!(
            (with.len(), without.len()),
            (usize::from(is_its), usize::from(!is_its)),
            "{owner}"
        );
    }
}

#[test]
fn a_process_in_a_user_namespace_owns_the_files_of_its_user_on_the_host() {
    if !is_root("a_process_in_a_user_namespace_owns_the_files_of_its_user_on_the_host") {
        return;
    }
    let mut command = Command::new("setpriv");
    let user = format!("--reuid={OTHER}");
    command.args([
        &user,
        "--clear-groups",
        "unshare",
        "--user",
        "--map-root-user",
        "sleep",
        "600",
    ]);
    command.env("HAILO_MONITOR", "1");
    let mut process = Running::start(command);
    let pid = process.0.id();
    let is_up = wait_for("it to have its namespace", || {
        if process.0.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm == "sleep\n").then_some(true)
    });
    if !is_up {
        skip_test::skip("user namespaces", "they may not be made without privileges here");
        return;
    }
    // Inside it is user 0.
    for (owner, is_its) in [(OTHER, true), (0, false)] {
        let host = Host::new().lasting();
        put_as(
            owner,
            &host.dir().join(format!("{pid}aB3dEf")),
            &message(pid, 57.0).encode_to_vec(),
        );
        let (with, without) = rates(&host.look());
        assert_eq!(
            (with.len(), without.len()),
            (usize::from(is_its), usize::from(!is_its)),
            "{owner}"
        );
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

/// Each frame rate, and whether it has a process.
fn pulled_rates(pull: SocketAddr) -> Option<Vec<(f64, bool)>> {
    let body = get(pull, "/metrics")?.body;
    let lines = body.lines().filter(|line| line.starts_with("hailo_network_frame_rate"));
    let rates = lines.filter_map(|line| {
        let (labels, value) = line.rsplit_once(' ')?;
        Some((
            value.parse().ok()?,
            labels.contains("process_executable_name=\"sleep\""),
        ))
    });
    Some(rates.collect())
}

fn renamed(user: u32, path: &Path, bytes: &[u8]) {
    let temporary: PathBuf = path.with_extension("tmp");
    put_as(user, &temporary, bytes);
    fs::rename(&temporary, path).unwrap();
}

#[test]
fn a_file_that_takes_the_place_of_another_user_s_does_not_take_its_process() {
    if !is_root("a_file_that_takes_the_place_of_another_user_s_does_not_take_its_process") {
        return;
    }
    let (host, writer) = (Host::new().lasting(), Writer::of_user(OTHER, None));
    let own = host.dir().join(writer.name());
    let (_agent, pull) = pulled(&host);
    let write = || renamed(OTHER, &own, &message(writer.pid(), 57.0).encode_to_vec());
    wait_for("the true file", || {
        write();
        (pulled_rates(pull)? == [(30.0, true)]).then_some(())
    });
    wait_for("the false one in its place", || {
        renamed(OTHER + 1, &own, &lie(writer.pid()));
        let rates = pulled_rates(pull)?;
        assert!(!rates.contains(&(LIE, true)), "it never has the process: {rates:?}");
        (rates == [(LIE, false)]).then_some(())
    });
    wait_for("the true file again", || {
        write();
        (pulled_rates(pull)? == [(30.0, true)]).then_some(())
    });
    // A second file of its own user, as a container makes that shares the directory: the one that was there keeps it.
    let second = host.dir().join(format!("{}aaaaaa", writer.pid()));
    for _ in 0..20 {
        renamed(OTHER, &second, &lie(writer.pid()));
        write();
        let rates = pulled_rates(pull).unwrap();
        assert_eq!(rates, [(30.0, true)]);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Nor does it help to be the last to write.
    for _ in 0..20 {
        write();
        renamed(OTHER, &second, &lie(writer.pid()));
        std::thread::sleep(Duration::from_millis(100));
        let rates = pulled_rates(pull).unwrap();
        assert_eq!(rates, [(30.0, true)]);
    }
}

/// A process that is the first of a PID namespace of its own, as in a container, and sees the directory of the host.
struct Contained {
    unshare: Child,
    init: u32,
}

impl Contained {
    fn new(variable: &str, holds_device: bool) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "sleep", "600"]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env(variable, "1");
        command.stdin(if holds_device {
            Stdio::from(File::open("/dev/full").unwrap())
        } else {
            Stdio::null()
        });
        let unshare = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let init = wait_for("the container", || {
            let init = fs::read_to_string(&children).ok()?.trim().parse().ok()?;
            let comm = fs::read_to_string(format!("/proc/{init}/comm")).ok()?;
            let environ = fs::read(format!("/proc/{init}/environ")).ok()?;
            (comm == "sleep\n" && !environ.is_empty()).then_some(init)
        });
        Self { unshare, init }
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        self.unshare.kill().ok();
        self.unshare.wait().ok();
    }
}

/// Root of any container is the host's root, and process 1 of it has the same id as that of any other.
#[test]
fn a_file_that_root_of_another_container_wrote_is_of_no_process_that_does_not_use_a_hailo() {
    if !is_root("a_file_that_root_of_another_container_wrote_is_of_no_process_that_does_not_use_a_hailo") {
        return;
    }
    let host = Host::new().lasting().with_device();
    let owner = || {
        // After the start of every container.
        let file = host.dir().join("1aB3dEf");
        put(&file, &message(1, 57.0).encode_to_vec(), Duration::ZERO);
        let points = host.look();
        assert_eq!(named(&points, "hailo.network.frame_rate").len(), 1, "it is shown");
        let used = named(&points, "hailo.process.utilization");
        used.first()?["attributes"]["process.pid"].as_u64()
    };
    let idle = Contained::new("HAILO_MONITOR_TIME_INTERVAL", false);
    assert_eq!(owner(), None, "nothing shows that it uses a Hailo");
    let doctor = host.output(&["doctor"]).stdout;
    let doctor = String::from_utf8_lossy(&doctor)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    // Other containers of the machine may have an idle process 1 too.
    let why = "as its writer, but that was started without HAILO_MONITOR=1 and has no Hailo device open";
    assert!(doctor.contains(why), "{doctor}");
    drop(idle);
    for (variable, holds_device) in [("HAILO_MONITOR", false), ("OTHER", true)] {
        let user = Contained::new(variable, holds_device);
        assert_eq!(owner(), Some(user.init.into()), "{variable} {holds_device}");
        let second = Contained::new("HAILO_MONITOR", false);
        assert_eq!(owner(), None, "of two that use one");
        drop(second);
    }
    // On the host itself too.
    let process = Running::start({
        let mut command = Command::new("sleep");
        command.arg("600").env_clear();
        command
    });
    let claimed = host.dir().join(format!("{}aB3dEf", process.0.id()));
    put(&claimed, &lie(process.0.id()), Duration::ZERO);
    fs::remove_file(host.dir().join("1aB3dEf")).unwrap();
    assert_eq!(rates(&host.look()), (vec![], vec![LIE]));
}
