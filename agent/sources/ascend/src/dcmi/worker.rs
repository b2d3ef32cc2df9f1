//! `agent worker ascend`, and the sampler that uses it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::PART;
use super::open::{About, Driver, OpenError};
use super::place::{self, Place};
use super::read::ChipReading;
use super::reader::Reading;
use crate::catalogue;
use crate::npu_smi::{Cause, Skipped, Table};
use crate::points::Points;
use crate::settings::{MAX_AGE_PERIODS, NAME};
use accelscope_core::chain;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Moment;
use accelscope_core::sampler::Descriptor;
use accelscope_core::worker::{
    End, LibraryThread, RenewalReason, Replies, Reply, Supervised, Suspended, Suspensions, WireOutcome, WirePart,
    WirePoint, Worker, WorkerConfig, WorkerSampler, serve_library,
};

/// Duration of the first suspension of a query that hung or crashed: each attempt costs a whole reading.
const FIRST_SUSPENSION: Duration = Duration::from_mins(10);

/// Reasons for a reading without a point, and the queries and their failures that make others.
const REASONS: &[&str] = &[
    "card_silent",
    "chip_twice",
    "power_implausible",
    "process_not_found",
    "process_without_id",
    "temperature_implausible",
    "voltage_implausible",
];
const QUERIES: &[&str] = &["hbm", "health", "power", "processes", "temperature", "utilizations"];
const FAILURES: &[Cause] = &[Cause::NotReady, Cause::TimedOut, Cause::Other];

/// Parameters of the worker's start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The agent's own program.
    pub program: PathBuf,
    /// Path of the library; if absent, searched for in the directories of the driver's packages.
    pub library: Option<PathBuf>,
    /// Root directories of the host.
    pub roots: HostRoots,
    /// Part of the chips' ids.
    pub node_name: String,
    /// Time between two readings.
    pub period: Duration,
    /// Time limit of a reading.
    pub deadline: Duration,
}

/// The library that [`sampler`] would load, as seen from here: the configured one, or the first existing one of the
/// driver's packages. If there is none, the worker uses the loader.
pub fn library(roots: &HostRoots, named: Option<&Path>) -> Option<PathBuf> {
    place::find(roots, named).file
}

/// The sampler `ascend` with the library as its backend. Nothing is loaded before its first run.
///
/// The caller must check first that this process may open the cards at all.
pub fn sampler(launch: Launch) -> io::Result<WorkerSampler> {
    let descriptor = Descriptor {
        name: NAME,
        period: launch.period,
        deadline: launch.deadline,
    };
    let worker = Worker::new(command(launch)?);
    Ok(WorkerSampler::new(
        descriptor,
        catalogue::EMITTED,
        catalogue::EXTENSIONS,
        worker,
    ))
}

/// The worker's program and its configuration.
pub fn command(launch: Launch) -> io::Result<Command> {
    let Place { file, libraries } = place::find(&launch.roots, launch.library.as_deref());
    let config = WorkerConfig {
        root: launch.roots.path("/"),
        node_name: launch.node_name,
        period: launch.period,
        patience: launch.deadline.mul_f64(0.75),
        first_suspension: FIRST_SUSPENSION,
        suspensions: Suspensions::default(),
        library: file,
    };
    // The loader reads the variable at the start of a process; the library depends on others of the driver's.
    let mut command = config.command(&launch.program, NAME)?;
    command.env("LD_LIBRARY_PATH", libraries.value);
    Ok(command)
}

/// `agent worker ascend`: the library's, or the supervisor of the tool.
pub fn serve() -> io::Result<()> {
    if let Some(run) = Supervised::requested() {
        return run?.supervise();
    }
    serve_library::<DcmiReplies>()
}

/// State that is kept between replies.
#[derive(Debug)]
struct DcmiReplies {
    about: About,
    points: Points,
    /// Whether the counters of rare events have begun, which they do when there is a chip.
    counts: bool,
}

impl Replies for DcmiReplies {
    type Library = Driver;

    fn new(config: &WorkerConfig<Option<PathBuf>>) -> Self {
        let roots = HostRoots::new(&config.root);
        let longest_gap = config.period.saturating_mul(MAX_AGE_PERIODS * 2);
        Self {
            about: About::default(),
            points: Points::new(&roots, config.node_name.clone(), longest_gap),
            counts: false,
        }
    }

    fn reply(&mut self, thread: &mut LibraryThread<Driver>) -> Reply<'static> {
        let mut readings: Vec<ChipReading> = Vec::new();
        let end = thread.read(|_, reading| match reading {
            Reading::Driver(driver) => self.about = driver,
            Reading::Chip(chip) => readings.push(*chip),
        });
        let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
        let mut count = |reason: String, more: u64| *skipped.entry(reason).or_default() += more;
        for reason in readings.iter().flat_map(|reading| &reading.skipped) {
            count(reason.clone(), 1);
        }
        if !readings.is_empty() && !std::mem::replace(&mut self.counts, true) {
            // A counter starts at a visible 0: otherwise its first occurrence is no increase to an alert.
            let failures = QUERIES.iter().flat_map(|query| {
                let cause = move |cause: &Cause| format!("{query}_{}", cause.as_str());
                FAILURES.iter().map(cause)
            });
            let reasons = REASONS.iter().map(|reason| (*reason).to_owned());
            reasons.chain(failures).for_each(|reason| count(reason, 0));
        }
        if self.about.silent_cards > 0 {
            count("card_silent".to_owned(), self.about.silent_cards);
        }
        if let End::Hung(hang) = &end {
            count(format!("{}_hung", hang.unit.task), 1);
        }
        let (outcome, reason, renewal) = self.outcome(&end, &readings, thread);
        let parts = if readings.is_empty() && outcome == WireOutcome::Retry {
            // The last readings may still be valid: a failed pass does not end them.
            Vec::new()
        } else {
            vec![self.part(readings, &mut skipped)]
        };
        Reply {
            parts,
            skipped,
            renewal: renewal.and_then(|_| thread.config.to_json()),
            renewal_reason: renewal,
            ..Reply::empty(0, outcome, reason)
        }
    }
}

impl DcmiReplies {
    /// Result of the run, its reason, and why the process must be replaced, if it must: only a new process can initialise
    /// the library again, and end a thread that hangs in it.
    fn outcome(
        &self,
        end: &End<Driver>,
        readings: &[ChipReading],
        thread: &LibraryThread<Driver>,
    ) -> (WireOutcome, String, Option<RenewalReason>) {
        let renewal = end.renewal_reason();
        let retry = |reason: String| (WireOutcome::Retry, reason, renewal);
        match end {
            End::Done(()) => done(readings, thread.suspended()),
            End::Hung(hang) => retry(format!("libdcmi {hang}; look at `dmesg` for a stuck chip")),
            End::Slow | End::Starting { .. } => retry(format!(
                "the Ascend driver answered for {} of {} chips within {:.1} s: set a longer ascend.timeout, or let fewer \
                 others ask it",
                readings.len(),
                self.about.chips,
                thread.config.patience.as_secs_f64()
            )),
            End::Failed { error, .. } => (outcome_of(error), chain(&**error), renewal),
            End::Gone(reason) => retry(reason.clone()),
        }
    }

    fn part(&mut self, readings: Vec<ChipReading>, skipped: &mut BTreeMap<String, u64>) -> WirePart<'static> {
        let mut table = Table {
            driver_version: self.about.driver_version.clone(),
            has_process_table: readings.iter().any(|reading| reading.processes.is_some()),
            ..Table::default()
        };
        for mut reading in readings {
            reading.chip.hides_processes = reading.processes.is_none();
            table.chips.push(reading.chip);
            table.processes.extend(reading.processes.into_iter().flatten());
        }
        let mut lost = Skipped::new();
        let points = self.points.build(&table, Moment::now(), &mut lost);
        for (reason, count) in lost {
            *skipped.entry(reason.to_owned()).or_default() += u64::from(count);
        }
        WirePart {
            name: PART.into(),
            points: points.iter().map(WirePoint::of).collect(),
        }
    }
}

fn done(readings: &[ChipReading], suspended: &Suspended) -> (WireOutcome, String, Option<RenewalReason>) {
    if readings.is_empty() {
        let reason = "no card reports how many chips it has; look at `dmesg`";
        return (WireOutcome::Retry, reason.to_owned(), Some(RenewalReason::Silent));
    }
    let mut read = readings.iter().filter(|reading| !reading.suspended).peekable();
    let is_any_read = read.peek().is_some();
    if is_any_read && read.all(|reading| !reading.answered) {
        let reason = "no chip answers libdcmi any more, which is started anew; if that lasts, look at `dmesg`";
        return (WireOutcome::Retry, reason.to_owned(), Some(RenewalReason::Silent));
    }
    let reason = if suspended.is_empty() {
        String::new()
    } else {
        format!("left alone, since the driver hung or crashed: {suspended}; look at `dmesg` for a stuck chip")
    };
    let outcome = if is_any_read {
        WireOutcome::Sampled
    } else {
        WireOutcome::Retry
    };
    (outcome, reason, None)
}

const fn outcome_of(error: &OpenError) -> WireOutcome {
    match error {
        OpenError::NotFound | OpenError::NoChip => WireOutcome::NothingHere,
        _ => WireOutcome::Retry,
    }
}
