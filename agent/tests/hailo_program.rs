//! The program and the monitor files of living processes: written seldom, unusable, or among many of others.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod program_support;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use accelscope_proto::hailo::{
    ProtoMon, ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames, ProtoMonStreamFramesInfo,
};
use free_port::free_address;
use program_support::{Running, get, wait_for};
use prost::Message;
use serde_json::Value;

/// Another user of the machine.
const OTHER: u32 = 12_345;

/// A host with a Hailo that has the number of `/dev/full`, and the real processes.
struct Host {
    root: tempfile::TempDir,
    tmp: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
            tmp: tempfile::tempdir_in("/tmp").unwrap(),
        };
        for real in ["proc", "tmp", "dev"] {
            symlink(Path::new("/").join(real), host.root.path().join(real)).unwrap();
        }
        for open in [host.root.path(), host.tmp.path()] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(host.dir()).unwrap();
        host
    }

    fn with_device(self) -> Self {
        let device = self.root.path().join("sys/class/hailo_chardev/hailo0");
        fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("board_location", "0001:01:00.0"),
            ("dev", "1:7"),
            ("device_id", "1e60:2864"),
        ] {
            fs::write(device.join(name), value).unwrap();
        }
        self
    }

    fn dir(&self) -> PathBuf {
        self.tmp.path().join("hmon_files")
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("host.root={}", self.root.path().display()),
            format!("hailo.dir={}", self.dir().display()),
            "hailo.discover=false".to_owned(),
        ];
        settings.extend(["ascend", "ioctl", "kubelet", "nvidia"].map(|source| format!("{source}.enabled=false")));
        settings
    }

    fn command(&self, program: &[&str], arguments: &[&str]) -> Command {
        let program: Vec<&str> = program.iter().copied().chain([env!("CARGO_BIN_EXE_agent")]).collect();
        let mut command = Command::new(program[0]);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.args(&program[1..]).args(arguments).stdin(Stdio::null());
        for setting in self.settings() {
            command.args(["--set", &setting]);
        }
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(&[], arguments).output().unwrap()
    }

    /// The points of one look.
    fn look(&self) -> Vec<Value> {
        let output = self.output(&["--stdout", "--once", "--format", "json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn doctor(&self) -> String {
        one_line(&self.output(&["doctor"]).stdout)
    }
}

fn one_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn named<'a>(points: &'a [Value], name: &'a str) -> Vec<&'a Value> {
    points.iter().filter(|point| point["name"] == name).collect()
}

fn active(points: &[Value]) -> Option<i64> {
    named(points, "hailo.monitor.active").first()?["value"].as_i64()
}

/// A process that holds the device and could have written a monitor file.
struct Writer(Child);

impl Writer {
    fn new(interval: Option<&str>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").env_clear().env("HAILO_MONITOR", "1");
        command.envs(interval.map(|interval| ("HAILO_MONITOR_TIME_INTERVAL", interval)));
        let writer = Self(command.stdin(File::open("/dev/full").unwrap()).spawn().unwrap());
        // Until its exec it has the environment of this test.
        wait_for("the writer to start", || {
            let name = fs::read_to_string(format!("/proc/{}/comm", writer.pid())).ok()?;
            (name == "sleep\n" && fs::read(format!("/proc/{}/environ", writer.pid())).is_ok_and(|e| !e.is_empty()))
                .then_some(())
        });
        writer
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn name(&self) -> String {
        format!("{}aB3dEf", self.pid())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn message(pid: u32, percent: f64) -> ProtoMon {
    ProtoMon {
        pid: pid.to_string(),
        networks_infos: vec![ProtoMonInfo {
            network_name: "yolo".into(),
            fps: 30.0,
            utilization: percent,
        }],
        net_frames_infos: Vec::new(),
        device_infos: vec![ProtoMonDeviceInfo {
            device_id: "0001:01:00.0".into(),
            utilization: percent,
            device_arch: "HAILO8L".into(),
        }],
    }
}

fn put(path: &Path, bytes: &[u8], age: Duration) {
    fs::write(path, bytes).unwrap();
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        let required = std::env::var("ACCELSCOPE_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|feature| feature == "root"),
            "{test} needs root"
        );
        eprintln!("SKIPPED: {test} needs root");
    }
    is_root
}

/// Age of the files below: more than the least age limit.
const SELDOM: Duration = Duration::from_millis(6500);

#[test]
fn values_stay_while_the_next_write_of_a_living_process_is_not_overdue() {
    let seldom = ["15000", "7000", "2147483647"];
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
        put(
            &host.dir().join(writer.name()),
            &message(writer.pid(), 57.0).encode_to_vec(),
            SELDOM,
        );
        let points = host.look();
        let doctor = host.doctor();
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
            writer.0.kill().unwrap();
            writer.0.wait().unwrap();
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
fn a_file_of_a_living_process_that_cannot_be_shown_is_named_with_the_reason() {
    let writer = Writer::new(None);
    let whole = message(writer.pid(), 57.0).encode_to_vec();
    type Make = fn(&Path, &[u8]);
    let cases: [(&str, Make); 6] = [
        ("is empty", |path, _| put(path, &[], Duration::from_secs(3))),
        ("is cut off in the middle of a field", |path, whole| {
            put(path, &whole[..whole.len() / 2 + 1], Duration::from_secs(3));
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
        let doctor = host.doctor();
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
    let path = host.dir().join(writer.name());
    put(
        &path,
        &message(writer.pid(), 57.0).encode_to_vec(),
        Duration::from_secs(3),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&path, Some(OTHER), None).unwrap();
    // Root without the capabilities to read what it may not.
    let weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let reason = format!("cannot be read (mode 600, owned by user {OTHER}): Permission denied");
    let doctor = one_line(&host.command(&weak, &["doctor"]).output().unwrap().stdout);
    assert!(
        doctor.contains(&format!("of process {} (sleep) {reason}", writer.pid())),
        "{doctor}"
    );
    let log = one_line(&host.command(&weak, &["--stdout", "--once"]).output().unwrap().stderr);
    assert!(
        log.contains(&format!("{} {reason}", path.display())) && log.contains("CAP_DAC_READ_SEARCH"),
        "{log}"
    );
}

#[test]
fn a_file_that_a_process_left_behind_is_no_finding_about_a_living_one() {
    let host = Host::new();
    let pid = {
        let writer = Writer::new(None);
        put(
            &host.dir().join(writer.name()),
            &message(writer.pid(), 57.0).encode_to_vec(),
            Duration::from_secs(60),
        );
        writer.pid()
    };
    let doctor = host.doctor();
    assert!(
        doctor.contains(&format!(
            "{pid}aB3dEf was last written 60 s ago, and no process with its id {pid}"
        )),
        "{doctor}"
    );
    assert!(doctor.contains("remove them"), "{doctor}");
}

#[test]
fn no_user_pushes_the_file_of_another_out() {
    if !is_root("no_user_pushes_the_file_of_another_out") {
        return;
    }
    let writer = Writer::new(None);
    let started = Instant::now();
    wait_for("the writer to be older than its file", || {
        (started.elapsed() > Duration::from_millis(1500)).then_some(())
    });
    type Name = fn(u32, u32) -> String;
    let floods: [(&str, Name); 4] = [
        ("of dead processes", |nth, _| format!("{}abcdef", 4_194_400 + nth)),
        ("with odd names", |nth, _| format!("\u{1b}[2J zz{nth}")),
        ("that claim the living process", |nth, pid| format!("{pid}{nth:06}")),
        ("of the machine's init", |nth, _| format!("1{nth:06}")),
    ];
    for (what, name) in floods {
        let host = Host::new().with_device();
        put(
            &host.dir().join(writer.name()),
            &message(writer.pid(), 57.0).encode_to_vec(),
            Duration::from_secs(1),
        );
        for nth in 0..600 {
            let path = host.dir().join(name(nth, writer.pid()));
            fs::write(&path, message(writer.pid(), 99.0).encode_to_vec()).unwrap();
            chown(&path, Some(OTHER), None).unwrap();
        }
        // Other names of one file.
        for nth in 0..300 {
            fs::hard_link(
                host.dir().join(name(0, writer.pid())),
                host.dir().join(format!("{}{:06}", 1 + nth, nth)),
            )
            .ok();
        }
        // The age limit would pass while a slow machine made the files.
        put(
            &host.dir().join(writer.name()),
            &message(writer.pid(), 57.0).encode_to_vec(),
            Duration::from_secs(1),
        );
        let points = host.look();
        let shown = named(&points, "hailo.process.utilization");
        assert_eq!(shown.len(), 1, "{what}: {shown:?}");
        assert_eq!(shown[0]["value"], 0.57, "{what}: {shown:?}");
        assert_eq!(shown[0]["attributes"]["process.pid"], writer.pid(), "{what}: {shown:?}");
    }
}

#[test]
fn the_exporter_s_view_has_the_percentage_that_was_written() {
    let float = f64::from(33.3_f32);
    for (written, shown) in [
        (&[57.0][..], "57.0"),
        (&[28.9], "28.9"),
        (&[10.0, 19.0], "29.0"),
        (&[float], "33.29999923706055"),
    ] {
        let host = Host::new().with_device();
        let writers: Vec<_> = written.iter().map(|_| Writer::new(Some("600000"))).collect();
        for (writer, percent) in writers.iter().zip(written) {
            fs::write(
                host.dir().join(writer.name()),
                message(writer.pid(), *percent).encode_to_vec(),
            )
            .unwrap();
        }
        let (pull, view) = (free_address(), free_address());
        let mut command = host.command(&[], &[]);
        command.args([
            "--set",
            &format!("http.listen={pull}"),
            "--set",
            &format!("compat.hailo_exporter.listen={view}"),
        ]);
        command.args(["--set", "otlp.enabled=false"]).stderr(Stdio::null());
        let _agent = Running::start(command);
        let found = wait_for("a value", || {
            let body = get(view, "/metrics")?.body;
            let line = body
                .lines()
                .find(|line| line.starts_with("hailo_NPU_utilization_percent{"))?
                .to_owned();
            let is_whole = writers.len() == 1 || !line.ends_with(" 10.0") && !line.ends_with(" 19.0");
            is_whole.then_some(line)
        });
        assert_eq!(found, format!("hailo_NPU_utilization_percent{{NPU=\"NPU\"}} {shown}"));
    }
}

#[test]
fn counters_of_rare_events_begin_at_zero() {
    let host = Host::new().with_device();
    let writer = Writer::new(None);
    let pull = free_address();
    let mut command = host.command(&[], &[]);
    command.args(["--set", &format!("http.listen={pull}"), "--set", "otlp.enabled=false"]);
    let _agent = Running::start(command);
    let count = |name: &str, reason: &str| {
        let body = get(pull, "/metrics")?.body;
        let is_it = |line: &&str| line.starts_with(name) && line.contains("\"hailo\"") && line.contains(reason);
        Some(body.lines().find(is_it)?.rsplit_once(' ')?.1.to_owned())
    };
    let skipped = |reason| count("agent_sampler_skipped_total{", reason);
    for reason in [
        "malformed",
        "too_large",
        "unreadable",
        "writer_unseen",
        "too_many_files",
    ] {
        assert_eq!(wait_for(reason, || skipped(reason)), "0", "{reason}");
    }
    assert_eq!(count("agent_attribution_ambiguous_total{", "").as_deref(), Some("0"));
    fs::write(host.dir().join(writer.name()), b"\x0a\x017\x12\x03\x0a\x01\xff").unwrap();
    wait_for("the first malformed file", || {
        (skipped("malformed")? != "0").then_some(())
    });
}

#[test]
fn in_the_table_no_more_is_queued_than_the_most() {
    let host = Host::new().with_device();
    let writers = [Writer::new(Some("600000")), Writer::new(Some("600000"))];
    for (writer, queued) in writers.iter().zip([3, 2]) {
        let stream = ProtoMonStreamFramesInfo {
            stream_name: "yolo/input".into(),
            buffer_frames_size: 8,
            pending_frames_count: queued,
            min_pending_frames_count: 1,
            max_pending_frames_count: 4,
            ..ProtoMonStreamFramesInfo::default()
        };
        let message = ProtoMon {
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: "yolo".into(),
                streams_frames_infos: vec![stream],
            }],
            ..message(writer.pid(), 10.0)
        };
        put(
            &host.dir().join(writer.name()),
            &message.encode_to_vec(),
            Duration::ZERO,
        );
    }
    let output = host.output(&["--stdout", "--once", "--format", "table"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text
        .lines()
        .find(|line| line.contains("yolo/input"))
        .unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u32> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers, [5, 2, 8, 16], "{text}");
}
