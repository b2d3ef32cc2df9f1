//! The sampler `hailo`: when it reads devices and files, and when it emits their points.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;

use super::device::Device;
use super::monitored::Monitored;
use super::owners::Owners;
use super::points::Points;
use super::settings::{NAME, Settings};
use super::skipped::Skipped;
use super::sources::Sources;
use super::{device, explain, monitored, skipped};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Moment;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Batch, Part, key};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::telemetry::{self, ReasonCounter};

/// Time between two runs without an event. The file of a killed process is shown for at most this long.
const PERIOD: Duration = Duration::from_secs(1);
/// Time between two scans of sysfs.
const DEVICES: Duration = Duration::from_secs(5);
/// Longest time between two batches.
const REPEAT: Duration = Duration::from_secs(5);
/// Longest time to the next run while there are files whose owners have not been searched for.
const NEXT_SEARCHES: Duration = Duration::from_millis(200);

/// The sampler `hailo`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    points: Points,
    devices: BTreeMap<String, Device>,
    scanned_at: Option<Instant>,
    sources: Sources,
    owners: Owners,
    emitted_at: Option<Instant>,
    /// Whether there are readings that have not been emitted.
    pending: bool,
    /// Digest of the devices, and of the files that are shown with their owners.
    shown: u64,
    /// Whether the last batch was empty, and why.
    nothing: bool,
    reason: String,
    /// The files that are not shown, in words, if the last batch was empty.
    unshown: Vec<String>,
    skipped: Skipped,
    /// Whether the counters of rare events have begun, which they do when there is something to read.
    counts: bool,
    count_skipped: ReasonCounter,
    count_ambiguous: Counter<u64>,
}

impl Sampler {
    /// `node_name` becomes part of the devices' ids.
    pub fn new(settings: Settings, roots: HostRoots, node_name: String) -> Self {
        Self {
            points: Points::new(roots.machine_id().unwrap_or_default(), node_name),
            devices: BTreeMap::new(),
            scanned_at: None,
            sources: Sources::default(),
            owners: Owners::new(&settings, &roots),
            emitted_at: None,
            pending: false,
            shown: 0,
            nothing: true,
            reason: String::new(),
            unshown: Vec::new(),
            skipped: Skipped::default(),
            counts: false,
            count_skipped: ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME),
            count_ambiguous: telemetry::counter(&agent::ATTRIBUTION_AMBIGUOUS),
            settings,
            roots,
        }
    }

    fn run(&mut self, mut now: Moment, out: &mut Vec<Batch>) -> io::Result<()> {
        let devices = self.scan_devices(now.instant);
        let sources = self
            .sources
            .update(&self.roots, &self.settings, &self.devices, now.instant);
        self.owners.living().forget();
        let mut failed = devices.and(sources).err();
        self.pending |= self.read_files(now, &mut failed);
        let first = self.emitted_at.is_none();
        if first {
            now = self.read_incomplete_files(now, &mut failed);
            self.sources.has_begun();
        }
        if self.soonest().is_none_or(|soonest| now.instant >= soonest) {
            let shown = self.update_owners(first, now.instant);
            if self.is_due(now.instant, shown != self.shown) {
                self.shown = shown;
                self.emit(now, out);
            }
        }
        for (reason, count) in std::mem::take(&mut self.skipped.0) {
            self.count_skipped.add(count, reason);
        }
        failed.map_or(Ok(()), Err)
    }

    fn scan_devices(&mut self, now: Instant) -> io::Result<()> {
        if self.scanned_at.is_some_and(|last| now < last + DEVICES) {
            return Ok(());
        }
        self.scanned_at = Some(now);
        self.devices = device::scan(&self.roots)?;
        self.owners.living().proofs.devices = device::numbers(self.devices.values());
        self.reason = explain::in_short(&self.roots);
        Ok(())
    }

    /// Reads the changed files of all directories. Returns whether any value changed, and keeps the first error.
    fn read_files(&mut self, now: Moment, failed: &mut Option<io::Error>) -> bool {
        self.sources.read(self.owners.living(), now, &mut self.skipped, failed)
    }

    /// Waits for files that may still be being written, because `--once` runs only once. Returns the time afterwards.
    fn read_incomplete_files(&mut self, mut now: Moment, failed: &mut Option<io::Error>) -> Moment {
        for _ in 0..monitored::ATTEMPTS {
            if !self.sources.all().any(Monitored::is_incomplete) {
                break;
            }
            std::thread::sleep(monitored::WRITE_TIME * 2);
            now = Moment::now();
            self.owners.living().forget();
            self.read_files(now, failed);
        }
        now
    }

    /// Returns a digest that changes when a device, a shown file or the owner of one comes or goes.
    fn update_owners(&mut self, first: bool, now: Instant) -> u64 {
        let mut digest = DefaultHasher::new();
        self.owners
            .update(self.sources.all_mut(), first, now, &mut self.skipped, &mut digest);
        self.devices.keys().for_each(|address| address.hash(&mut digest));
        digest.finish()
    }

    /// Time before which nothing is emitted, so that owners need not be checked either, unless there are many new ones.
    fn soonest(&self) -> Option<Instant> {
        let emitted_at = self.emitted_at.filter(|_| !self.owners.is_behind())?;
        Some(emitted_at + self.settings.min_interval.min(PERIOD))
    }

    /// Emits new readings as often as configured, other files at once, and all again after [`REPEAT`], so that constant
    /// values do not become stale.
    fn is_due(&self, now: Instant, others_shown: bool) -> bool {
        let least = if self.pending { Duration::ZERO } else { REPEAT };
        let rest = self.settings.min_interval.max(least);
        others_shown || self.emitted_at.is_none_or(|last| now >= last + rest)
    }

    /// Logs the files of living processes that are not shown, and gives the reason of an empty batch.
    fn report_unshown(&mut self, now: Moment) {
        let (max_age, mut words) = (self.settings.max_age, Vec::new());
        let living = self.owners.living();
        for monitored in self.sources.all_mut() {
            monitored.report_unshown(max_age, now, living);
            if self.nothing {
                words.extend(monitored.unshown_in_words(max_age, now.instant, living));
            }
        }
        self.unshown = words;
    }

    fn may_miss_a_writer(&mut self, now: Moment) -> bool {
        let (max_age, living) = (self.settings.max_age, self.owners.living());
        !self.sources.are_open()
            || self
                .sources
                .all_mut()
                .any(|monitored| monitored.may_hide_a_writer(max_age, now, living))
    }

    fn emit(&mut self, now: Moment, out: &mut Vec<Batch>) {
        self.emitted_at = Some(now.instant);
        self.pending = false;
        let may_miss_a_writer = self.may_miss_a_writer(now);
        let mut live = Vec::new();
        for (_, file) in self.sources.all_mut().flat_map(|monitored| monitored.files.all_mut()) {
            if !file.owner.is_shown() || !file.is_fresh(self.settings.max_age, now.instant) {
                continue;
            }
            if file.owner.is_ambiguous() {
                self.count_ambiguous
                    .add(1, &[telemetry::label(key::AGENT_SAMPLER, NAME)]);
            }
            live.push(file);
        }
        self.points.may_miss_a_writer = may_miss_a_writer;
        let points = self.points.build(&self.devices, live, now.wall);
        self.nothing = points.is_empty();
        if !self.nothing && !std::mem::replace(&mut self.counts, true) {
            self.count_skipped.begin(skipped::ALL);
            self.count_ambiguous
                .add(0, &[telemetry::label(key::AGENT_SAMPLER, NAME)]);
        }
        self.report_unshown(now);
        out.push(Batch {
            part: Part::whole(NAME),
            points,
        });
    }
}

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: PERIOD,
            deadline: Duration::from_secs(2),
        }
    }

    fn wait(&mut self, mut until: Instant) {
        if let Some(emitted_at) = self.emitted_at.filter(|_| self.pending) {
            // With the next write, if that comes soon: from then on, what is written is emitted at once.
            let rest = self.sources.shortest_interval(Instant::now()) / 2;
            until = until.min(emitted_at + self.settings.min_interval + rest);
        }
        if self.owners.is_behind() {
            until = until.min(Instant::now() + NEXT_SEARCHES);
        }
        let soonest = self.soonest();
        // A run that ends just before it would emit nothing.
        until = soonest.map_or(until, |soonest| soonest.max(until));
        self.sources.wait(&self.settings.dir, until, soonest);
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        match self.run(Moment::now(), out) {
            Ok(()) if self.nothing && self.unshown.is_empty() => Outcome::NothingHere(self.reason.clone()),
            Ok(()) if self.nothing => {
                let unshown = self.unshown.join("; ");
                Outcome::NothingHere(format!("no monitor file can be shown: {unshown}; see `agent doctor`"))
            }
            Ok(()) => Outcome::Sampled,
            Err(error) => Outcome::Retry(error.into()),
        }
    }
}
