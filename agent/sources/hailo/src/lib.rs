//! Hailo: the monitor files of HailoRT and the devices in sysfs.
//!
//! An application that was started with `HAILO_MONITOR=1` writes a file at every interval, a second by default. It is
//! read when it was written. Nothing is locked, and no device node is opened.

mod address;
mod combine;
mod decode;
mod device;
mod directory;
mod discover;
mod explain;
mod identity;
mod ioctl;
mod labels;
mod monitored;
mod owner;
mod points;
mod reading;
mod settings;
mod source;
mod sources;
mod state;
mod table;
mod values;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;

pub use self::device::{address_of, hw_id};
pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::settings::Settings;
pub use self::source::SOURCE;

use self::device::Device;
use self::owner::{Owned, Search};
use self::points::{Live, Points};
use self::reading::Skipped;
use self::sources::Sources;
use self::state::Moment;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{agent, hailo, hw};
use accelscope_core::metric::{Batch, Instrument, Part, key};
use accelscope_core::sampler::{Descriptor, Outcome};
use accelscope_core::telemetry;

const NAME: &str = "hailo";

/// Without an event, how often ages and processes are looked at: a killed writer's file is shown no longer than this.
const PERIOD: Duration = Duration::from_secs(1);
/// How often sysfs is looked at.
const DEVICES: Duration = Duration::from_secs(5);
/// Longest time between two batches.
const REPEAT: Duration = Duration::from_secs(5);
/// Most searches for a writer in one run; each walks through `/proc`.
const SEARCHES: u32 = 8;
/// And in the first one, whose result must be whole.
const FIRST_SEARCHES: u32 = 256;
/// How often the first run waits for files that may still be being written.
const SETTLE: u32 = 4;

static INSTRUMENTS: [&Instrument; 11] = [
    &hailo::DEVICE_INFO,
    &hailo::MONITOR_ACTIVE,
    &hailo::PROCESS_UTILIZATION,
    &hailo::NETWORK_UTILIZATION,
    &hailo::NETWORK_FRAME_RATE,
    &hailo::NETWORK_FRAMES,
    &hailo::STREAM_QUEUE_DEPTH,
    &hailo::STREAM_QUEUE_DEPTH_MIN,
    &hailo::STREAM_QUEUE_DEPTH_MAX,
    &hailo::STREAM_QUEUE_CAPACITY,
    &hw::NPU_UTILIZATION,
];

/// Where a writer may see the directory that its file lies in.
fn seen_as(settings: &Settings) -> Vec<PathBuf> {
    vec![settings.dir.clone(), PathBuf::from("/").join(directory::IN_ROOT)]
}

/// The sampler `hailo`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    processes: Processes,
    points: Points,
    devices: BTreeMap<String, Device>,
    devices_at: Option<Instant>,
    sources: Sources,
    seen_as: Vec<PathBuf>,
    handed_on: Option<Instant>,
    /// There are readings that have not been handed on.
    pending: bool,
    /// Digest of the files that are shown.
    shown: u64,
    /// Whether the last batch was empty, and why.
    nothing: bool,
    reason: String,
    skipped: Skipped,
    count_skipped: Counter<u64>,
    count_ambiguous: Counter<u64>,
    warned: Warned,
}

/// What has been said.
#[derive(Debug, Default)]
struct Warned {
    hidden: bool,
    unseen: bool,
}

impl Sampler {
    /// `node_name` becomes part of the devices' ids.
    pub fn new(settings: Settings, roots: HostRoots, node_name: String) -> Self {
        Self {
            processes: Processes::new(&roots),
            points: Points::new(roots.machine_id().unwrap_or_default(), node_name),
            devices: BTreeMap::new(),
            devices_at: None,
            sources: Sources::default(),
            seen_as: seen_as(&settings),
            handed_on: None,
            pending: false,
            shown: 0,
            nothing: true,
            reason: String::new(),
            skipped: Skipped::default(),
            count_skipped: telemetry::counter(&agent::SAMPLER_SKIPPED),
            count_ambiguous: telemetry::counter(&agent::ATTRIBUTION_AMBIGUOUS),
            warned: Warned::default(),
            settings,
            roots,
        }
    }

    fn run(&mut self, now: Moment, out: &mut Vec<Batch>) -> io::Result<()> {
        let devices = self.find_devices(now.instant);
        let sources = self
            .sources
            .update(&self.roots, &self.settings, &self.devices, now.instant);
        let mut failed = devices.and(sources).err();
        for monitored in self.sources.all_mut() {
            match monitored.update(now, &mut self.skipped) {
                Ok(changed) => self.pending |= changed,
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        let first = self.handed_on.is_none();
        let now = if first { self.settle(now, &mut failed) } else { now };
        let shown = self.find_owners(now.instant, if first { FIRST_SEARCHES } else { SEARCHES });
        if self.is_due(now.instant, shown != self.shown) {
            self.shown = shown;
            self.hand_on(now, out);
        }
        for (reason, count) in std::mem::take(&mut self.skipped.0) {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, NAME),
                telemetry::label(key::AGENT_REASON, reason),
            ];
            self.count_skipped.add(count, &labels);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The first result is whole: `--once` takes no second, so a file that may still be being written is waited for.
    fn settle(&mut self, mut now: Moment, failed: &mut Option<io::Error>) -> Moment {
        for _ in 0..SETTLE {
            if !self.sources.all_mut().any(|monitored| monitored.unsettled) {
                break;
            }
            std::thread::sleep(monitored::SETTLED * 2);
            now = Moment::now();
            for monitored in self.sources.all_mut() {
                if let Err(error) = monitored.update(now, &mut self.skipped) {
                    failed.get_or_insert(error);
                }
            }
        }
        now
    }

    /// New readings as often as is wanted; that some have begun or ended at once; and all of them now and then, so that
    /// what stays the same does not look old.
    fn is_due(&self, now: Instant, others_shown: bool) -> bool {
        let Some(last) = self.handed_on else { return true };
        let wanted = self.settings.min_interval;
        let rest = if others_shown {
            wanted.min(PERIOD)
        } else if self.pending {
            wanted
        } else {
            wanted.max(REPEAT)
        };
        now >= last + rest
    }

    fn hand_on(&mut self, now: Moment, out: &mut Vec<Batch>) {
        self.handed_on = Some(now.instant);
        self.pending = false;
        let mut live = Vec::new();
        for monitored in self.sources.all_mut() {
            for file in monitored.files.values_mut() {
                if !file.is_fresh(self.settings.max_age, now.instant) {
                    continue;
                }
                if let Owned::Several(_) = file.owner.owned {
                    self.count_ambiguous
                        .add(1, &[telemetry::label(key::AGENT_SAMPLER, NAME)]);
                }
                let process = file.owner.owned.process();
                if file.owner.owned.is_shown() {
                    live.push(Live { file, process });
                }
            }
        }
        let points = self.points.build(&self.devices, live, now.wall);
        self.nothing = points.is_empty();
        out.push(Batch {
            part: Part::whole(NAME),
            points,
        });
    }

    fn find_devices(&mut self, now: Instant) -> io::Result<()> {
        if self.devices_at.is_some_and(|last| now < last + DEVICES) {
            return Ok(());
        }
        self.devices_at = Some(now);
        self.devices = device::scan(&self.roots)?;
        self.reason = explain::in_short(&self.roots);
        Ok(())
    }

    /// Whose the fresh files are. A digest of what is shown: it differs when a file or its owner has come or gone.
    fn find_owners(&mut self, now: Instant, most: u32) -> u64 {
        let mut digest = DefaultHasher::new();
        let mut searches = most;
        for monitored in self.sources.all_mut() {
            let mut search = Search {
                processes: &self.processes,
                directory: monitored.directory.id,
                seen_as: &self.seen_as,
                left: searches,
            };
            for (name, file) in &mut monitored.files {
                if !file.is_fresh(self.settings.max_age, now) {
                    continue;
                }
                let Some((pid, written)) = file.good().map(|good| (good.reading.pid, good.written)) else {
                    continue;
                };
                let before = file.owner.owned;
                match file.owner.update(pid, written, now, &mut search) {
                    // Somebody went on writing.
                    Some(Ok(Owned::Ended)) if before == Owned::Ended => {
                        self.skipped.add("writer_unseen");
                        warn_unseen(&mut self.warned.unseen, name);
                    }
                    Some(Ok(Owned::Ended)) => {
                        tracing::debug!(file = %name.display(), pid, "no process fits: the file's writer has ended");
                        self.skipped.add("writer_ended");
                    }
                    Some(Ok(Owned::Several(candidates))) => {
                        tracing::debug!(file = %name.display(), pid, candidates, "the file's writer is ambiguous");
                    }
                    Some(Err(error)) => warn_hidden(&mut self.warned.hidden, &error),
                    _ => {}
                }
            }
            searches = search.left;
            monitored.doubt_shared_owners(self.settings.max_age, now);
            for (name, file) in monitored.fresh(self.settings.max_age, now) {
                if file.owner.owned.is_shown() {
                    (monitored.directory.id, name, file.owner.owned.process()).hash(&mut digest);
                }
            }
        }
        self.devices.keys().for_each(|address| address.hash(&mut digest));
        digest.finish()
    }
}

impl accelscope_core::sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: PERIOD,
            deadline: Duration::from_secs(2),
            instruments: &INSTRUMENTS,
        }
    }

    fn wait(&mut self, until: Instant) {
        let pending = self.handed_on.filter(|_| self.pending);
        let until = pending.map_or(until, |last| until.min(last + self.settings.min_interval));
        self.sources.wait(&self.settings.dir, until);
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        match self.run(Moment::now(), out) {
            Ok(()) if self.nothing => Outcome::NothingHere(self.reason.clone()),
            Ok(()) => Outcome::Sampled,
            Err(error) => Outcome::Retry(error.into()),
        }
    }
}

fn warn_hidden(warned: &mut bool, error: &io::Error) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            %error,
            "cannot look into processes: Hailo readings are shown without process, container and pod, and by the age of \
             their file alone; run the agent as root with CAP_SYS_PTRACE and the host's PID namespace"
        );
    }
}

fn warn_unseen(warned: &mut bool, name: &OsStr) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            file = %name.display(),
            "a monitor file is written by a process that cannot be seen, and is not shown; give the agent the host's PID \
             namespace (hostPID: true)"
        );
    }
}
