//! The host's root directory with energy counters that this machine may lack.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::pods::Pods;

/// Zones of a machine with two sockets, each with its memory.
const ZONES: [(&str, &str); 4] = [
    ("intel-rapl:0", "package-0"),
    ("intel-rapl:0:0", "dram"),
    ("intel-rapl:1", "package-1"),
    ("intel-rapl:1:0", "dram"),
];
const WATTS: f64 = 100.0;
/// Microjoules that a counter begins with: its text has always the same length.
const BEGIN: f64 = 1e10;
/// How often counters count.
const TICK: Duration = Duration::from_millis(500);

/// Everything of this machine, and counters of RAPL; of a full node, pods in the place of this machine's control groups.
pub(crate) struct Node {
    pub(crate) root: PathBuf,
    stop: Arc<AtomicBool>,
    counts: Option<JoinHandle<()>>,
    _pods: Option<Pods>,
}

impl Node {
    /// In this folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let root = folder.join("host");
        mirror(Path::new("/"), &root, &["dev", "sys"])?;
        mirror(Path::new("/sys"), &root.join("sys"), &["class"])?;
        Self::at(root, None)
    }

    /// Full of pods, in this folder; `None` where no control group can be made.
    pub(crate) fn full(folder: &Path) -> Result<Option<Self>> {
        let root = folder.join("full");
        mirror(Path::new("/"), &root, &["dev", "run", "sys", "var"])?;
        mirror(Path::new("/sys"), &root.join("sys"), &["class", "fs"])?;
        let pods = Pods::new(&root)?;
        pods.map(|pods| Self::at(root, Some(pods))).transpose()
    }

    fn at(root: PathBuf, pods: Option<Pods>) -> Result<Self> {
        mirror(Path::new("/sys/class"), &root.join("sys/class"), &["powercap"])?;
        let class = root.join("sys/class/powercap");
        let mut counters = Vec::new();
        for (zone, name) in ZONES {
            let zone = class.join(zone);
            fs::create_dir_all(&zone)?;
            fs::write(zone.join("name"), format!("{name}\n"))?;
            fs::write(zone.join("max_energy_range_uj"), "262143328850\n")?;
            counters.push(File::create(zone.join("energy_uj"))?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, began) = (Arc::clone(&stop), Instant::now());
        let counts = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let text = format!("{:.0}\n", BEGIN + WATTS * 1e6 * began.elapsed().as_secs_f64());
                for counter in &counters {
                    // What cannot be written shows in the agent's readings.
                    counter.write_all_at(text.as_bytes(), 0).ok();
                }
                std::thread::sleep(TICK);
            }
        });
        Ok(Self {
            root,
            stop,
            counts: Some(counts),
            _pods: pods,
        })
    }
}

impl Node {
    /// A command that runs the agent with this node's root. Its device nodes are this machine's, mounted for that process alone:
    /// the agent follows no links to them.
    pub(crate) fn command(&self, agent: &Path) -> Command {
        let mut command = Command::new("unshare");
        let script = "mount --rbind /dev \"$0/dev\" && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(&self.root).arg(agent);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.counts.take().map(JoinHandle::join);
    }
}

/// Links to all entries of a directory, but for these, which are empty directories.
fn mirror(of: &Path, to: &Path, but: &[&str]) -> Result<()> {
    for one in but {
        fs::create_dir_all(to.join(one)).with_context(|| format!("cannot make {}", to.display()))?;
    }
    for entry in fs::read_dir(of).with_context(|| format!("cannot list {}", of.display()))? {
        let entry = entry?;
        if !but.iter().any(|one| entry.file_name() == *one) {
            symlink(entry.path(), to.join(entry.file_name()))
                .with_context(|| format!("cannot link {}", to.display()))?;
        }
    }
    Ok(())
}
