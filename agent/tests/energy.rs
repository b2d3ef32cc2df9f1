//! Energy by control group, beside a counter of RAPL that the test counts, and groups and processes of the real kernel.
//! As root, where control groups can be made.
#![cfg(feature = "power")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod group_support;
mod program_support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use accelscope_core::metric::Timestamp;
use program_support::{PATIENCE, Running};
use skip_test::skip;

/// Watts of the processors.
const WATTS: f64 = 100.0;
/// Seconds of readings that are compared: quotas are exact over some of the kernel's periods.
const READINGS: usize = 10;
/// How often it is compared. A machine that stands still between the readings of the counter and of the groups makes them
/// those of unlike times.
const TRIES: usize = 5;

/// A host of which everything but RAPL is this machine's.
struct Host {
    directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    counts: Option<JoinHandle<()>>,
}

impl Host {
    /// With the control groups at that mount point.
    fn new(cgroups: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        symlink("/proc", root.join("proc")).unwrap();
        fs::create_dir_all(root.join("sys/fs")).unwrap();
        symlink(cgroups, root.join("sys/fs/cgroup")).unwrap();
        fs::create_dir_all(root.join("sys/devices/system")).unwrap();
        symlink("/sys/devices/system/cpu", root.join("sys/devices/system/cpu")).unwrap();
        let zone = root.join("sys/class/powercap/intel-rapl:0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("name"), "package-0\n").unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        let counter = fs::File::create(zone.join("energy_uj")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let counts = std::thread::spawn(move || {
            // A count that is late is energy of another reading. Only this thread.
            rustix::process::setpriority_process(None, -20).ok();
            let began = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                // Of one length, in place: as the kernel's file it is never empty.
                let micros = 1e10 + WATTS * 1e6 * began.elapsed().as_secs_f64();
                counter.write_all_at(format!("{micros:.0}\n").as_bytes(), 0).unwrap();
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            directory,
            stop,
            counts: Some(counts),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.counts.take().map(JoinHandle::join);
    }
}

/// A service's control group in each hierarchy that accounts for CPU time or limits it.
struct Service {
    unit: String,
    groups: Vec<PathBuf>,
}

impl Service {
    /// `None` where none can be made. `quota` is in microseconds of each 100 ms.
    fn new(name: &str, quota: Option<u32>) -> Option<Self> {
        let unit = format!("{name}-{}.service", group_support::new_id());
        let mounts = ["cpu", "cpuacct", "unified", ""].map(|mount| Path::new("/sys/fs/cgroup").join(mount));
        let mut groups: Vec<PathBuf> = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.join("cgroup.procs").exists()) {
            let group = mount.join(&unit);
            if group.exists() {
                continue;
            }
            if fs::create_dir(&group).is_err() {
                skip("cgroups", "no control group can be made");
                return None;
            }
            groups.push(group);
        }
        let service = Self { unit, groups };
        let Some(quota) = quota else { return Some(service) };
        let limits = |group: &PathBuf| {
            // Whatever else is busy.
            fs::write(group.join("cpu.shares"), "262144").ok();
            fs::write(group.join("cpu.weight"), "10000").ok();
            let legacy = fs::write(group.join("cpu.cfs_period_us"), "100000")
                .and_then(|()| fs::write(group.join("cpu.cfs_quota_us"), quota.to_string()));
            legacy.is_ok() || fs::write(group.join("cpu.max"), format!("{quota} 100000")).is_ok()
        };
        if !service.groups.iter().any(limits) {
            skip("cgroups", "no quota of CPU time can be set");
            return None;
        }
        Some(service)
    }

    /// Runs a shell's script in the groups.
    fn run(&self, script: &str) -> Child {
        let enter: Vec<String> = self
            .groups
            .iter()
            .map(|group| format!("echo $$ > {}/cgroup.procs", group.display()))
            .collect();
        let script = format!("{} && {script}", enter.join(" && "));
        Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// CPU time in nanoseconds, by the kernel.
    fn used(&self) -> f64 {
        let legacy = self
            .groups
            .iter()
            .find_map(|group| fs::read_to_string(group.join("cpuacct.usage")).ok());
        let unified = || {
            let text = self
                .groups
                .iter()
                .find_map(|group| fs::read_to_string(group.join("cpu.stat")).ok())?;
            let micros = text.lines().next()?.strip_prefix("usage_usec ")?.parse::<f64>().ok()?;
            Some(micros * 1000.0)
        };
        legacy
            .and_then(|text| text.trim().parse().ok())
            .or_else(unified)
            .unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        group_support::remove(&self.groups);
    }
}

/// Runs until it is dropped.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The agent's readings, one after the other.
struct Agent {
    _running: Running,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Agent {
    fn start(host: &Host) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.args(["--stdout", "--format", "json"]);
        let root = format!("host.root={}", host.directory.path().display());
        for setting in [&*root, "power.period=1s", "hailo.enabled=false", "ioctl.enabled=false"] {
            command.args(["--set", setting]);
        }
        command.env_clear().stdout(Stdio::piped());
        let mut running = Running::start(command);
        let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        Self {
            _running: running,
            lines,
        }
    }

    /// Joules of each unit, and of nobody (""), once these units have had so many readings from now on.
    fn after(&mut self, units: &[&Service], readings: usize) -> HashMap<String, f64> {
        let (now, until) = (Timestamp::now().to_string(), Instant::now() + PATIENCE);
        let (mut joules, mut count) = (HashMap::new(), HashMap::<String, usize>::new());
        while units
            .iter()
            .any(|service| count.get(&service.unit).copied().unwrap_or_default() < readings)
        {
            assert!(Instant::now() < until, "{count:?} readings of {joules:?}");
            let line = self.lines.next().unwrap().unwrap();
            let point: serde_json::Value = serde_json::from_str(&line).unwrap();
            let is_of_processors = point["attributes"]["hw.type"] == "cpu";
            let is_new = point["time"].as_str().unwrap() > now.as_str();
            if point["name"] != "accel.energy.attributed" || !is_of_processors || !is_new {
                continue;
            }
            let unit = point["attributes"]["systemd.unit"].as_str().unwrap_or_default();
            if let Some(value) = point["value"].as_f64() {
                *count.entry(unit.to_owned()).or_default() += 1;
                joules.insert(unit.to_owned(), value);
            }
        }
        joules
    }
}

/// Where cgroup v1, and where v2, has the groups; on a host with one of them only that.
fn mounts() -> Vec<&'static str> {
    let unified = "/sys/fs/cgroup/unified";
    let both = Path::new(unified).join("cgroup.controllers").exists();
    if both {
        vec!["/sys/fs/cgroup", unified]
    } else {
        vec!["/sys/fs/cgroup"]
    }
}

fn is_within(value: f64, expected: f64, tolerance: f64) -> bool {
    (value / expected - 1.0).abs() <= tolerance
}

#[test]
fn two_busy_loops_with_quotas_of_three_to_one_get_three_to_one_of_the_energy() {
    for mount in mounts() {
        let host = Host::new(mount);
        let Some(more) = Service::new("more", Some(60_000)) else {
            return;
        };
        let Some(less) = Service::new("less", Some(20_000)) else {
            return;
        };
        let _busy = [
            Busy(more.run("while :; do :; done")),
            Busy(less.run("while :; do :; done")),
        ];
        let before = (more.used(), less.used());
        let mut agent = Agent::start(&host);
        // The agent's first and last readings are not those of the test: the more there are between, the less it matters.
        let mut compared = Vec::new();
        let is_right = (0..TRIES).any(|_| {
            let joules = agent.after(&[&more, &less], READINGS);
            let kernel = (more.used() - before.0) / (less.used() - before.1);
            let ratio = joules[&more.unit] / joules[&less.unit];
            compared.push((ratio, kernel));
            // On a machine that is too busy for the quotas the kernel gives other shares, and so must the agent.
            let is_quiet = is_within(kernel, 3.0, 0.01);
            is_within(ratio, kernel, 0.02) && (is_within(ratio, 3.0, 0.02) || !is_quiet)
        });
        assert!(is_right, "{mount}: ratios, and those of the kernel: {compared:?}");
    }
}

/// Processes that end long before anybody looks at them.
#[test]
fn five_hundred_processes_of_five_milliseconds_are_in_their_units_share() {
    let processors = std::thread::available_parallelism().unwrap().get() as f64;
    for mount in mounts() {
        let mut compared = Vec::new();
        let is_right = (0..TRIES).any(|_| {
            let host = Host::new(mount);
            let Some(short) = Service::new("short", None) else {
                return true;
            };
            let mut agent = Agent::start(&host);
            agent.after(&[&short], 1);
            let five = "i=0; while [ $i -lt 2500 ]; do i=$((i+1)); done";
            let script = format!("n=0; while [ $n -lt 500 ]; do sh -c '{five}'; n=$((n+1)); done");
            assert!(short.run(&script).wait().unwrap().success());
            let used = short.used() / 1e9;
            let joules = agent.after(&[&short], 1)[&short.unit];
            let expected = WATTS * used / processors;
            compared.push((joules, expected, used));
            is_within(joules, expected, 0.05)
        });
        assert!(
            is_right,
            "{mount}: joules, those expected, and seconds of CPU time: {compared:?}"
        );
    }
}
