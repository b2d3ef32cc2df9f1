//! The simulator from outside: real processes, the files they write and those they leave.
//!
//! The simulator starts its own executable again, so this one answers to a writer's arguments too, and has no usual
//! test harness for that reason.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and a skipped one says so"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use accelscope_simulate as simulate;
use accelscope_simulate::{Demo, Options, WRITER_ARGS, WriteMode};
use inotify::{EventMask, Inotify, WatchMask};
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The argument with which this executable becomes `agent simulate hailo`; the options follow as JSON.
const SIMULATOR: &str = "simulator";

/// Longest wait for something that takes milliseconds on an idle machine.
const DEADLINE: Duration = Duration::from_mins(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [SIMULATOR, options] => simulate::run(serde_json::from_str(options).unwrap()),
        _ if arguments == WRITER_ARGS => simulate::writer_main(),
        _ => return tests(),
    };
    result.map_or_else(
        |error| {
            eprintln!("{error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn tests() -> ExitCode {
    let tests: [(&str, fn()); 9] = [
        (
            "google_s_protobuf_reads_what_is_written",
            google_s_protobuf_reads_what_is_written,
        ),
        (
            "in_place_writing_has_the_runtime_s_events",
            in_place_writing_has_the_runtime_s_events,
        ),
        (
            "writing_by_rename_has_the_runtime_s_events",
            writing_by_rename_has_the_runtime_s_events,
        ),
        ("a_normal_end_removes_every_file", a_normal_end_removes_every_file),
        (
            "a_killed_writer_leaves_its_file_and_the_others_go_on",
            a_killed_writer_leaves_its_file_and_the_others_go_on,
        ),
        (
            "a_killed_simulator_leaves_no_process",
            a_killed_simulator_leaves_no_process,
        ),
        (
            "some_writers_are_killed_and_replaced",
            some_writers_are_killed_and_replaced,
        ),
        ("the_demo_cleans_up", the_demo_cleans_up),
        (
            "a_directory_that_cannot_be_made_is_named",
            a_directory_that_cannot_be_made_is_named,
        ),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// A simulator in a folder of its own; killed when dropped.
struct Simulator {
    child: Child,
    dir: PathBuf,
    _folder: tempfile::TempDir,
}

impl Simulator {
    fn start(options: &Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("hmon_files");
        std::fs::create_dir(&dir).unwrap();
        Self {
            child: start(&Options {
                dir: dir.clone(),
                ..options.clone()
            }),
            dir,
            _folder: folder,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    fn end(&mut self) -> ExitStatus {
        until("the simulator ends", || self.child.try_wait().unwrap())
    }

    /// Waits for `count` files with live writers.
    fn writers(&self, count: usize) -> Vec<u32> {
        until("every writer has written", || {
            let pids: Vec<u32> = pids(&self.dir).into_iter().filter(|&pid| lives(pid)).collect();
            (pids.len() == count).then_some(pids)
        })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("cannot end the simulator: {error}");
        }
    }
}

fn start(options: &Options) -> Child {
    let options = serde_json::to_string(options).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([SIMULATOR, &options])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Frequent writes, so that a test is short.
fn quick(write_mode: WriteMode, processes: u32) -> Options {
    Options {
        write_mode,
        processes,
        interval: Duration::from_millis(50),
        ..Options::default()
    }
}

fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

/// The writers of the complete files in `dir`, by the files' names.
fn pids(dir: &Path) -> Vec<u32> {
    // A name that is only reserved is that of an empty file, which is gone a moment later.
    let is_written = |entry: &std::fs::DirEntry| entry.metadata().is_ok_and(|of| of.len() > 0);
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap).filter(is_written);
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.contains(".tmp"))
        .map(|name| name[..name.len() - 6].parse().unwrap())
        .collect()
}

/// Whether the process runs or is stopped; a zombie that is not waited for is dead.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn python(arguments: &[&Path]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/read_hmon.py");
    let output = Command::new("python3")
        .arg(script)
        .args(arguments)
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn google_s_protobuf_reads_what_is_written() {
    if let Err(why) = python(&[Path::new("--probe")]) {
        return skip_test::skip("python-protobuf", &why);
    }
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/proto/scheduler_mon.proto");
    for write_mode in [WriteMode::InPlace, WriteMode::Rename] {
        // More networks and streams than fit into one block of the writer's buffer.
        let options = Options {
            networks: 40,
            streams: 5,
            devices: 5,
            ..quick(write_mode, 2)
        };
        let simulator = Simulator::start(&options);
        let writers = simulator.writers(2);
        // Stopped, so that the files do not change; a file that was about to be written is complete a moment later.
        let files: Vec<Value> = until("both files are whole", || {
            for &writer in &writers {
                kill_process(pid(writer), Signal::STOP).unwrap();
            }
            let lines = python(&[&schema, &simulator.dir]);
            for &writer in &writers {
                kill_process(pid(writer), Signal::CONT).unwrap();
            }
            let files: Vec<Value> = lines
                .ok()?
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let whole = |file: &Value| file["message"]["device_infos"].is_array();
            (files.len() == 2 && files.iter().all(whole)).then_some(files)
        });

        let mut devices = Vec::new();
        for file in &files {
            let (name, message) = (file["name"].as_str().unwrap(), &file["message"]);
            assert_eq!(
                file["canonical"], true,
                "{name}: the same bytes as Google's serializer writes"
            );
            assert!(file["size"].as_u64().unwrap() > 8192, "{name}: several blocks");
            let writer: u32 = message["pid"].as_str().unwrap().parse().unwrap();
            assert!(
                writers.contains(&writer) && name.starts_with(&writer.to_string()),
                "{name}: {writer}"
            );
            assert_eq!(parent(writer), simulator.child.id());

            let networks = message["networks_infos"].as_array().unwrap();
            let frames = message["net_frames_infos"].as_array().unwrap();
            assert_eq!((networks.len(), frames.len()), (40, 40));
            for (number, (network, frames)) in (0..).zip(networks.iter().zip(frames)) {
                assert_eq!(network["fps"], simulate::frame_rate(number));
                assert_eq!(network["network_name"], frames["network_name"]);
                let streams = frames["streams_frames_infos"].as_array().unwrap();
                assert_eq!(streams.len(), 5);
                // An enum of 0 is absent on the wire.
                let outputs = streams
                    .iter()
                    .filter(|stream| stream.get("stream_direction").is_some())
                    .count();
                assert_eq!(outputs, 4);
            }
            for device in message["device_infos"].as_array().unwrap() {
                assert_eq!(device["device_arch"], "HAILO8");
                let utilization = device["utilization"].as_f64().unwrap();
                assert!(utilization > 0.0 && utilization < 100.0, "{utilization}");
                devices.push(device["device_id"].as_str().unwrap());
            }
        }
        devices.sort_unstable();
        assert_eq!(
            devices,
            [
                "0001:01:00.0",
                "0002:01:00.0",
                "0003:01:00.0",
                "0004:01:00.0",
                "0005:01:00.0"
            ]
        );
    }
}

/// Events of the files of a simulation of one process that wrote three times or more and then ended normally, with `x`
/// for the pid and suffix of the names.
fn events(write_mode: WriteMode) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut inotify = Inotify::init().unwrap();
    inotify.watches().add(folder.path(), WatchMask::ALL_EVENTS).unwrap();
    let mut simulator = start(&Options {
        dir: folder.path().to_owned(),
        ..quick(write_mode, 1)
    });
    let mut seen: Vec<(EventMask, String)> = Vec::new();
    let mut collect = |seen: &mut Vec<(EventMask, String)>| match inotify.read_events(&mut [0; 4096]) {
        Ok(events) => seen.extend(events.filter_map(|event| Some((event.mask, event.name?.to_str()?.to_owned())))),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
    };
    until("four files were closed", || {
        collect(&mut seen);
        let closed = seen.iter().filter(|(mask, _)| *mask == EventMask::CLOSE_WRITE).count();
        (closed >= 4).then_some(())
    });
    kill_process(pid(simulator.id()), Signal::TERM).unwrap();
    assert!(simulator.wait().unwrap().success());
    until("the file is deleted at the end", || {
        collect(&mut seen);
        (seen.last()?.0 == EventMask::DELETE).then_some(())
    });
    let name = seen[0].1.clone();
    let mut events: Vec<String> = seen
        .into_iter()
        .map(|(mask, file)| format!("{mask:?} {}", file.replace(&name, "x")))
        .collect();
    // A truncation by opening is an event of its own, before or after that of the opening depending on the kernel's
    // version, and merged with the following one if there was no read in between.
    events.dedup();
    let opened = |index: usize| events.get(index + 1).is_some_and(|next| next == "EventMask(OPEN) x");
    let kept = (0..events.len()).filter(|&index| !(events[index] == "EventMask(MODIFY) x" && opened(index)));
    kept.map(|index| events[index].clone()).collect()
}

/// Events of the first three writes after the placeholder, and of the end.
fn assert_events(events: &[String], placeholder: &[&str], first: &[&str], later: &[&str]) {
    let expected: Vec<&str> = [placeholder, first, later, later].concat();
    assert!(events.len() > expected.len(), "{events:?}");
    assert_eq!(events[..expected.len()], expected);
    let rest = &events[expected.len()..events.len() - 1];
    assert!(rest.chunks(later.len()).all(|chunk| chunk == later), "{rest:?}");
    assert_eq!(events.last().unwrap(), "EventMask(DELETE) x");
}

const PLACEHOLDER: [&str; 4] = [
    "EventMask(CREATE) x",
    "EventMask(OPEN) x",
    "EventMask(CLOSE_WRITE) x",
    "EventMask(DELETE) x",
];

fn in_place_writing_has_the_runtime_s_events() {
    let events = events(WriteMode::InPlace);
    let later = ["EventMask(OPEN) x", "EventMask(MODIFY) x", "EventMask(CLOSE_WRITE) x"];
    let first = [&["EventMask(CREATE) x"], &later[..]].concat();
    assert_events(&events, &PLACEHOLDER, &first, &later);
}

fn writing_by_rename_has_the_runtime_s_events() {
    let events = events(WriteMode::Rename);
    let write = [
        "EventMask(CREATE) x.tmp",
        "EventMask(OPEN) x.tmp",
        "EventMask(MODIFY) x.tmp",
        "EventMask(MOVED_FROM) x.tmp",
        "EventMask(MOVED_TO) x",
        // The descriptor is closed after the renaming, under the new name.
        "EventMask(CLOSE_WRITE) x",
    ];
    assert_events(&events, &PLACEHOLDER, &write, &write);
}

fn a_normal_end_removes_every_file() {
    for (write_mode, signal) in [(WriteMode::InPlace, Signal::TERM), (WriteMode::Rename, Signal::INT)] {
        let mut simulator = Simulator::start(&quick(write_mode, 3));
        let writers = simulator.writers(3);
        // A stopped writer does not block the end.
        kill_process(pid(writers[0]), Signal::STOP).unwrap();
        simulator.signal(signal);
        assert!(simulator.end().success());
        assert_eq!(std::fs::read_dir(&simulator.dir).unwrap().count(), 0);
        assert!(
            writers.iter().all(|&writer| !lives(writer)),
            "the simulator waits for its writers"
        );
    }
}

fn a_killed_writer_leaves_its_file_and_the_others_go_on() {
    let mut simulator = Simulator::start(&quick(WriteMode::Rename, 2));
    let writers = simulator.writers(2);
    kill_process(pid(writers[0]), Signal::KILL).unwrap();
    until("the writer is dead", || (!lives(writers[0])).then_some(()));
    let modified = || {
        let newest = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.metadata().ok()?.modified().ok();
        std::fs::read_dir(&simulator.dir).unwrap().filter_map(newest).max()
    };
    let before = modified();
    until("the other writes on", || (modified() > before).then_some(()));
    assert!(pids(&simulator.dir).contains(&writers[0]), "its file is left behind");

    kill_process(pid(writers[1]), Signal::TERM).unwrap();
    assert!(
        !simulator.end().success(),
        "without writers there is nothing to simulate"
    );
    let told = std::io::read_to_string(simulator.child.stderr.take().unwrap()).unwrap();
    assert!(told.contains("no writer process is left"), "{told}");
    assert_eq!(
        pids(&simulator.dir).len(),
        2,
        "SIGTERM ends an application without its destructors too"
    );
}

fn a_killed_simulator_leaves_no_process() {
    let mut simulator = Simulator::start(&quick(WriteMode::InPlace, 3));
    let writers = simulator.writers(3);
    kill_process(pid(writers[0]), Signal::STOP).unwrap();
    simulator.signal(Signal::KILL);
    simulator.end();
    for writer in writers {
        until("the writer ends, even a stopped one", || (!lives(writer)).then_some(()));
    }
    assert_eq!(
        std::fs::read_dir(&simulator.dir).unwrap().count(),
        0,
        "and ends normally"
    );
}

fn some_writers_are_killed_and_replaced() {
    let mut simulator = Simulator::start(&Options {
        kill_some: true,
        ..quick(WriteMode::Rename, 2)
    });
    let first = simulator.writers(2);
    until("both are replaced", || {
        first.iter().all(|&writer| !lives(writer)).then_some(())
    });
    let replaced = simulator.writers(2);
    assert!(
        first
            .iter()
            .all(|writer| !replaced.contains(writer) && pids(&simulator.dir).contains(writer))
    );
    simulator.signal(Signal::TERM);
    assert!(simulator.end().success());
    let left = pids(&simulator.dir);
    assert!(
        left.len() >= 2 && left.iter().all(|&writer| !lives(writer)),
        "only killed ones' files stay: {left:?}"
    );
}

fn the_demo_cleans_up() {
    let demo = Demo::start().unwrap();
    let dir = demo.dir().to_owned();
    let writers = until("three files", || Some(pids(&dir)).filter(|pids| pids.len() == 3));
    drop(demo);
    assert!(!dir.parent().unwrap().exists(), "the private folder is gone");
    assert!(writers.iter().all(|&writer| !lives(writer)));
}

fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("hmon_files");
    let output = start(&Options {
        dir: dir.clone(),
        ..Options::default()
    })
    .wait_with_output()
    .unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(dir.to_str().unwrap()) && told.contains("--dir"), "{told}");
}
