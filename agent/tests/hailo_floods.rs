//! The program and a user who floods it with monitor files: what they cost is bounded, and another user's file is exact.
//! As root, with files of two users.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message, put};
use program_support::{Running, get, wait_for};
use prost::Message;

const MIB: u64 = 1 << 20;

struct Agent {
    running: Running,
    pull: SocketAddr,
}

impl Agent {
    fn new(host: &Host) -> Self {
        let pull = free_address();
        let mut command = host.command(&[], &[]);
        command.args(["--set", &format!("http.listen={pull}"), "--set", "otlp.enabled=false"]);
        command.stderr(Stdio::null());
        let running = Running::start(command);
        Self { running, pull }
    }

    fn number(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.running.0.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Bytes that it has read.
    fn read(&self) -> u64 {
        self.number("io", "rchar:")
    }

    /// Lines of that metric.
    fn lines(&self, name: &str) -> Option<Vec<String>> {
        let body = get(self.pull, "/metrics")?.body;
        Some(
            body.lines()
                .filter(|line| line.starts_with(name))
                .map(ToOwned::to_owned)
                .collect(),
        )
    }

    fn skipped(&self, reason: &str) -> Option<u64> {
        let lines = self.lines("agent_sampler_skipped_total{")?;
        let line = lines
            .iter()
            .find(|line| line.contains("\"hailo\"") && line.contains(reason))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// The frame rate of the process of that id in the file of root.
    fn shows(&self, fps: &str) -> Option<()> {
        let lines = self.lines("hailo_network_frame_rate")?;
        let mut own = lines
            .iter()
            .filter(|line| line.contains("process_executable_name=\"sleep\""));
        own.any(|line| line.ends_with(fps)).then_some(())
    }
}

fn put_as(user: u32, path: &Path, bytes: &[u8]) {
    let temporary: PathBuf = path.with_extension("tmp");
    put(&temporary, bytes, Duration::ZERO);
    chown(&temporary, Some(user), None).unwrap();
    fs::rename(&temporary, path).unwrap();
}

fn own(pid: u32, fps: f64) -> Vec<u8> {
    let mut own = message(pid, 57.0);
    own.networks_infos[0].fps = fps;
    own.encode_to_vec()
}

#[test]
fn names_that_are_new_each_time_are_taken_at_a_rate() {
    if !is_root("names_that_are_new_each_time_are_taken_at_a_rate") {
        return;
    }
    let (host, writer, crowd) = (Host::new().lasting(), Writer::new(None), Writer::of_user(OTHER, None));
    let agent = Agent::new(&host);
    wait_for("the agent", || agent.lines("agent_"));
    let flood = |round: u32, file: u32| ProtoMon {
        pid: crowd.pid().to_string(),
        networks_infos: (0..400)
            .map(|nth| ProtoMonInfo {
                network_name: format!("{round} {file} {nth} {}", "x".repeat(200)),
                fps: 999.0,
                utilization: 1.0,
            })
            .collect(),
        ..ProtoMon::default()
    };
    let mut names = 0;
    for round in 0..25 {
        for file in 0..8 {
            // In the same files, and in others each time.
            let name = if file < 4 { file } else { 8 * round + file };
            let path = host.dir().join(format!("{}a{name:05}", crowd.pid()));
            put_as(OTHER, &path, &flood(round, file).encode_to_vec());
            names += 400;
        }
        let fps = f64::from(1000 + round);
        put_as(0, &host.dir().join(writer.name()), &own(writer.pid(), fps));
        wait_for("the file of the other user", || agent.shows(&format!(" {fps}")));
    }
    let left_out = agent.skipped("too_many_new").unwrap();
    assert!(left_out > names / 2, "{left_out} of {names}");
    let shown = agent.lines("hailo_network_frame_rate").unwrap().len();
    assert!(shown <= 5_000, "{shown}");
    let most = agent.number("status", "VmHWM:");
    assert!(most < 64 * 1024, "{most} KiB");
}

#[test]
fn a_file_that_is_opened_and_closed_is_not_read_again() {
    if !is_root("a_file_that_is_opened_and_closed_is_not_read_again") {
        return;
    }
    let (host, writer) = (Host::new().lasting(), Writer::new(None));
    let path = |nth: usize| host.dir().join(format!("{}aaaaaa", 4_194_400 + nth));
    for nth in 0..2 {
        // Zeros are no monitor file.
        File::create(path(nth)).unwrap().set_len(3 * MIB).unwrap();
        chown(path(nth), Some(OTHER), None).unwrap();
    }
    let agent = Agent::new(&host);
    wait_for("the large files to be read", || (agent.read() > 6 * MIB).then_some(()));
    host.file_of(&writer, Duration::ZERO);
    wait_for("the other file", || agent.shows(" 30"));
    let (before, begun) = (agent.read(), Instant::now());
    for round in 0..20 {
        for nth in 0..2 {
            drop(File::options().write(true).open(path(nth)).unwrap());
        }
        let fps = f64::from(1000 + round);
        put_as(0, &host.dir().join(writer.name()), &own(writer.pid(), fps));
        wait_for("the file of the other user", || agent.shows(&format!(" {fps}")));
    }
    let read = agent.read() - before;
    // Once more they would be 6 MiB, each time 120; all else reads a part of a MiB each second.
    let bound = (6 + begun.elapsed().as_secs() / 4) * MIB;
    assert!(
        read < bound,
        "{read} bytes for files that are the same, {bound} at most"
    );
}

/// 255 files of that many zeros, of the other user.
fn put_large(host: &Host, bytes: u64) {
    for nth in 0..255 {
        let path = host.dir().join(format!("{}aaaaaa", 4_194_400 + nth));
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path).unwrap();
        file.set_len(bytes).unwrap();
        chown(&path, Some(OTHER), None).unwrap();
    }
}

#[test]
fn what_is_read_of_a_user_is_bounded() {
    if !is_root("what_is_read_of_a_user_is_bounded") {
        return;
    }
    let (host, writer) = (Host::new().lasting(), Writer::new(None));
    let agent = Agent::new(&host);
    host.file_of(&writer, Duration::ZERO);
    wait_for("the agent", || agent.shows(" 30"));
    let (before, begun) = (agent.read(), Instant::now());
    for round in 0..8 {
        put_large(&host, 4 * MIB - round);
        let fps = f64::from(1000 + u16::try_from(round).unwrap());
        put_as(0, &host.dir().join(writer.name()), &own(writer.pid(), fps));
        wait_for("the file of the other user", || agent.shows(&format!(" {fps}")));
    }
    let read = agent.read() - before;
    // What a user may read at once and each second, and as much again for all else: these are 8 GiB.
    let bound = (8 + 2 * begun.elapsed().as_secs() + 2) * MIB * 2;
    assert!(read < bound, "{read} bytes, {bound} at most");
    assert!(agent.skipped("deferred").unwrap() > 0);
}

#[test]
fn what_is_read_of_a_user_for_a_doctor_is_bounded_too() {
    if !is_root("what_is_read_of_a_user_for_a_doctor_is_bounded_too") {
        return;
    }
    let (host, writer) = (Host::new().lasting(), Writer::new(None));
    host.file_of(&writer, Duration::ZERO);
    put_large(&host, 4 * MIB);
    let agent = Agent::new(&host);
    wait_for("the agent", || agent.shows(" 30"));
    let (before, begun) = (agent.read(), Instant::now());
    let listen = format!("http.listen={}", agent.pull);
    let settings = ["doctor", "--set", &listen, "--set", "otlp.enabled=false"];
    let output = String::from_utf8(host.output(&settings).stdout).unwrap();
    let read = agent.read() - before;
    let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(&format!("of user {OTHER} in")) && words.contains("are not looked at"),
        "{output}"
    );
    // What the sampler and the doctor's look may read, and as much again for all else: these are a GiB.
    let bound = (8 + 8 + 2 * begun.elapsed().as_secs() + 2) * MIB * 2;
    assert!(read < bound, "{read} bytes, {bound} at most");
}
