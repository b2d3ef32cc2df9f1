//! Cost of the release agent: resident memory, CPU time and wake-ups, by enabled features, compared with Debian's
//! prometheus-node-exporter in the same run.
//!
//! Each program runs alone for a minute (`ACCELSCOPE_COST_SECONDS`) after a warm-up, and is scraped every 10 s. The
//! agent is built first, unless `ACCELSCOPE_COST_AGENT` names a binary. With an argument, such as in
//! `cargo bench -p benches --bench cost -- "hailo and ioctl"`, only the choice of features with that name is measured.
//! Measured values:
//!
//! - resident memory at the end: pages of files, which are mostly the program's code, and anonymous pages; for the
//!   agent also the kernel's memory of the eBPF maps, as the agent reports it;
//! - CPU time of all threads;
//! - wake-ups: voluntary and involuntary context switches of all threads.
//!
//! The source `power` reads counters that the benchmark counts, beside everything else of this machine, so that energy is
//! divided among its control groups; of the full node these are 110 pods with three containers each, which are idle.
//!
//! The source `ioctl` watches `/dev/full`, on which no process makes calls: the cost on an idle node.
//! Programs in the kernel need root; the table names the hook in use.
#![expect(clippy::print_stdout, reason = "the result is for the person who runs it")]

mod node;
mod pods;
mod receiver;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use free_port::free_address;

use self::node::Node;
use self::receiver::Receiver;
use self::usage::{Activity, Memory, machine_busy};

const NODE_EXPORTER: &str = "prometheus-node-exporter";
/// Interval of scrapes and of pushes.
const PERIOD: Duration = Duration::from_secs(10);
/// Warm-up time, after which every periodic action has happened once.
const WARM_UP: Duration = Duration::from_secs(12);
/// Share of the machine's CPU time used by other processes above which the numbers are unreliable.
const BUSY: f64 = 0.3;

const HAILO: &str = "hailo";
const IOCTL: &str = "ioctl";

const POWER: &str = "power";

/// The control groups of a node that is full of pods.
const PODS: &str = "pods";

/// Enabled features.
const CHOICES: [(&str, &[&str]); 7] = [
    ("no source", &[]),
    ("hailo", &[HAILO]),
    ("ioctl", &[IOCTL]),
    ("hailo and ioctl", &[HAILO, IOCTL]),
    ("node", &["host", POWER, "kmsg", "holders"]),
    ("full node", &["host", POWER, "kmsg", "holders", PODS]),
    ("everything", &[HAILO, IOCTL, "host", POWER, "kmsg", "holders"]),
];

/// One line of the table.
struct Row {
    name: String,
    memory: Memory,
    /// Bytes of the maps of eBPF programs.
    maps: u64,
    /// CPU seconds per minute.
    cpu: f64,
    /// Wake-ups per second.
    wake_ups: f64,
    /// Share of the machine's CPU time that all processes used.
    busy: f64,
}

/// A program that is killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn main() -> Result<()> {
    let window = window()?;
    let agent = agent()?;
    let sources = sources()?;
    let receiver = Receiver::start()?;
    let folder = tempfile::tempdir()?;
    let monitor = folder.path().join("hmon_files");
    let _simulator = simulator(&agent, &monitor)?;
    let this = Node::new(folder.path())?;

    println!(
        "each {} s after {} s of warm-up, scraped every {} s",
        window.as_secs(),
        WARM_UP.as_secs(),
        PERIOD.as_secs()
    );
    let only = chosen()?;
    let mut rows = vec![if only.is_none() { node_exporter(window)? } else { None }];
    for (name, on) in CHOICES {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        // Only for this choice: its groups are this machine's too.
        let full = if on.contains(&PODS) {
            Node::full(folder.path())?
        } else {
            None
        };
        if on.contains(&PODS) && full.is_none() {
            println!("SKIPPED: no full node, since no control group can be made here");
            continue;
        }
        let node = full.as_ref().unwrap_or(&this);
        for push in [false, true] {
            let mut command = if on.contains(&POWER) {
                node.command(&agent)
            } else {
                Command::new(&agent)
            };
            configure(&mut command, folder.path(), &sources, on)?;
            command.arg("--set").arg(format!("hailo.dir={}", monitor.display()));
            if on.contains(&POWER) {
                command.arg("--set").arg(format!("host.root={}", node.root.display()));
            }
            command.arg("--set").arg(format!("otlp.enabled={push}"));
            command
                .arg("--set")
                .arg(format!("otlp.endpoint=http://{}", receiver.address));
            let before = receiver.requests();
            let (mut row, page) = measure(
                &mut command,
                |command, address| {
                    command.arg("--set").arg(format!("http.listen={address}"));
                },
                window,
            )?;
            ensure!(
                (receiver.requests() > before) == push,
                "push is {push}, but the receiver saw otherwise"
            );
            ensure!(
                page.contains("\nhailo_") == on.contains(&HAILO),
                "{name}: Hailo's metrics are not as configured"
            );
            ensure!(
                page.contains("\naccel_energy_attributed_joules_total{") == on.contains(&POWER),
                "{name}: energy is not attributed as configured"
            );
            row.maps = value(&page, "agent_ioctl_memory_usage_bytes").unwrap_or(0.0) as u64;
            let hook = if on.contains(&IOCTL) {
                hook(&page)?
            } else {
                String::new()
            };
            row.name = format!("{name}{hook}, pull{}", if push { " and push" } else { "" });
            rows.push(Some(row));
        }
    }
    print(&rows);
    Ok(())
}

/// The choice that the arguments name. Cargo adds `--bench`.
fn chosen() -> Result<Option<String>> {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if let Some(name) = &chosen {
        let names = CHOICES.map(|(name, _)| name);
        ensure!(
            names.contains(&name.as_str()),
            "{name:?} is none of the choices: {}",
            names.join(", ")
        );
    }
    Ok(chosen)
}

fn window() -> Result<Duration> {
    let Ok(text) = std::env::var("ACCELSCOPE_COST_SECONDS") else {
        return Ok(Duration::from_mins(1));
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds >= PERIOD.as_secs());
    let least = PERIOD.as_secs();
    let seconds =
        seconds.with_context(|| format!("ACCELSCOPE_COST_SECONDS is {text:?}, but must be at least {least}"))?;
    Ok(Duration::from_secs(seconds))
}

/// Path of the agent, built unless the environment names one.
fn agent() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ACCELSCOPE_COST_AGENT") {
        return std::path::absolute(path).context("ACCELSCOPE_COST_AGENT is no path");
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", "agent"])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the agent does not build");
    // Cargo puts a benchmark into the folder `deps` beside the programs.
    let own = std::env::current_exe().context("the path of this program is unknown")?;
    let folder = own
        .parent()
        .and_then(Path::parent)
        .context("this program is in no folder")?;
    Ok(folder.join("agent"))
}

/// All sources: the sections of the example configuration in which the hardware can be detected automatically.
fn sources() -> Result<Vec<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/agent.example.toml");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let (mut sources, mut section) = (Vec::new(), "");
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if line == "#enabled = \"auto\"" {
            sources.push(section.to_owned());
        }
    }
    for expected in [HAILO, IOCTL] {
        ensure!(
            sources.iter().any(|source| source == expected),
            "{path} has no source {expected}"
        );
    }
    Ok(sources)
}

/// Processes that write Hailo's monitor files once a second.
fn simulator(agent: &Path, folder: &Path) -> Result<Running> {
    let child = Command::new(agent)
        .args([
            "simulate",
            "hailo",
            "--processes",
            "2",
            "--networks",
            "2",
            "--write-mode",
            "rename",
            "--dir",
        ])
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", agent.display()))?;
    Ok(Running(child))
}

/// Configures the agent independently of this machine, with some of its sources.
fn configure(command: &mut Command, folder: &Path, sources: &[String], on: &[&str]) -> Result<()> {
    let empty = folder.join("agent.toml");
    std::fs::write(&empty, "")?;
    command.arg("--config").arg(empty);
    command.args(["--set", "log.level=error", "--set", "otlp.interval=10s"]);
    command.args(["--set", "ioctl.extra_devices=/dev/full"]);
    for source in sources {
        let enabled = on.contains(&source.as_str());
        command.arg("--set").arg(format!("{source}.enabled={enabled}"));
    }
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("ACCELSCOPE__") || name.starts_with("OTEL_") {
            command.env_remove(&key);
        }
    }
    Ok(())
}

/// Debian's node-exporter in its default configuration; `None` if it is not installed.
fn node_exporter(window: Duration) -> Result<Option<Row>> {
    let mut command = Command::new(NODE_EXPORTER);
    if command.arg("--version").output().is_err() {
        println!("SKIPPED: {NODE_EXPORTER} is not installed, so there are no ratios: apt-get install {NODE_EXPORTER}");
        return Ok(None);
    }
    let mut command = Command::new(NODE_EXPORTER);
    // Its collectors log errors about files that a container does not have.
    command.stderr(Stdio::null());
    let (row, _) = measure(
        &mut command,
        |command, address| {
            command.arg(format!("--web.listen-address={address}"));
        },
        window,
    )?;
    Ok(Some(Row {
        name: "node-exporter, pull".to_owned(),
        ..row
    }))
}

/// Runs a program that serves `/metrics`, and measures it during the window. Returns its last page too.
fn measure(
    command: &mut Command,
    listen: impl FnOnce(&mut Command, std::net::SocketAddr),
    window: Duration,
) -> Result<(Row, String)> {
    let address = free_address();
    listen(command, address);
    let url = format!("http://{address}/metrics");
    let child = command.stdout(Stdio::null()).spawn();
    let child = Running(child.with_context(|| format!("cannot run {}", command.get_program().display()))?);
    let pid = child.0.id();
    let client = ureq::Agent::new_with_defaults();
    ready(&client, &url)?;
    scrape_until(&client, &url, Instant::now() + WARM_UP)?;

    let (before, busy, start) = (Activity::of(pid)?, machine_busy()?, Instant::now());
    scrape_until(&client, &url, start + window)?;
    let (after, memory) = (Activity::of(pid)?, Memory::of(pid)?);
    let seconds = start.elapsed().as_secs_f64();
    let busy = machine_busy()? - busy;

    let (cpu, switches) = after.since(&before);
    let processors = std::thread::available_parallelism()?.get() as f64;
    let page = client.get(&url).call()?.body_mut().read_to_string()?;
    let row = Row {
        name: String::new(),
        memory,
        maps: 0,
        cpu: cpu * 60.0 / seconds,
        wake_ups: switches as f64 / seconds,
        busy: busy / seconds / processors,
    };
    Ok((row, page))
}

/// Waits until the program answers.
fn ready(client: &ureq::Agent, url: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.get(url).call().is_err() {
        if Instant::now() > deadline {
            bail!("{url} does not answer");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Scrapes once per period as Prometheus does: compressed, over one connection.
fn scrape_until(client: &ureq::Agent, url: &str, end: Instant) -> Result<()> {
    let sleep_until = |time: Instant| std::thread::sleep(time.saturating_duration_since(Instant::now()));
    let mut next = Instant::now() + PERIOD / 2;
    while next < end {
        sleep_until(next);
        let mut response = client.get(url).header("accept-encoding", "gzip").call()?;
        response.body_mut().read_to_vec()?;
        next += PERIOD;
    }
    sleep_until(end);
    Ok(())
}

/// Value of a series without labels on a page of `/metrics`.
fn value(page: &str, name: &str) -> Option<f64> {
    let rest = page.lines().find_map(|line| line.strip_prefix(name))?;
    rest.rsplit(' ').next()?.parse().ok()
}

/// Kind of the hook with which the agent traces the device, in brackets.
fn hook(page: &str) -> Result<String> {
    let line = page.lines().find(|line| line.starts_with("agent_ioctl_devices{"));
    let line = line.context("the agent watches no device")?;
    let hook = line
        .split_once("agent_ioctl_hook=\"")
        .and_then(|(_, rest)| rest.split('"').next());
    Ok(format!(" ({})", hook.context("the agent names no hook")?))
}

fn print(rows: &[Option<Row>]) {
    const MIB: f64 = 1024.0 * 1024.0;
    let total = |row: &Row| (row.memory.file + row.memory.anonymous + row.maps) as f64 / MIB;
    let reference = rows[0].as_ref();
    println!(
        "\n{:44} {:>29}   {:>8} {:>8}   {:>24} {:>8}",
        "", "resident MiB", "CPU", "wake-ups", "of node-exporter", "machine"
    );
    println!(
        "{:44} {:>5} {:>9} {:>5} {:>7}   {:>8} {:>8}   {:>8} {:>6} {:>8} {:>8}",
        "", "file", "anonymous", "maps", "all", "s/min", "1/s", "resident", "CPU", "wake-ups", "busy"
    );
    for row in rows.iter().flatten() {
        let ratio = |of: &dyn Fn(&Row) -> f64| {
            reference.map_or("-".to_owned(), |reference| format!("{:.2}", of(row) / of(reference)))
        };
        println!(
            "{:44} {:5.1} {:9.1} {:5.1} {:7.1}   {:8.3} {:8.1}   {:>8} {:>6} {:>8} {:>6.0} %",
            row.name,
            row.memory.file as f64 / MIB,
            row.memory.anonymous as f64 / MIB,
            row.maps as f64 / MIB,
            total(row),
            row.cpu,
            row.wake_ups,
            ratio(&total),
            ratio(&|row| row.cpu),
            ratio(&|row| row.wake_ups),
            row.busy * 100.0,
        );
    }
    if rows.iter().flatten().any(|row| row.busy > BUSY) {
        println!("\nOther processes kept the machine busy: CPU time and wake-ups of an idle machine are lower.");
    }
}
