//! `agent worker ascend`, and the sampler in front of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::open::OpenError;
use super::place::{self, Place};
use super::points::{Builder, INSTRUMENTS};
use super::query::Avoided;
use super::read::Reading;
use super::vendor::{Event, Question, Vendor};
use crate::identity::Node;
use crate::points::Points;
use crate::settings::{MAX_AGE_PERIODS, NAME};
use accelscope_core::chain;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::Moment;
use accelscope_core::sampler::Descriptor;
use accelscope_core::worker::{
    Command, Reply, WireOutcome, WirePart, WirePoint, Worker, WorkerSampler, order, serve_renewing,
};

/// Environment variable of the worker: its [`Order`] as JSON.
const VARIABLE: &str = "ACCELSCOPE_WORKER_ASCEND";

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The agent's own program.
    pub program: PathBuf,
    /// The library; searched where the driver's packages put it if absent.
    pub library: Option<PathBuf>,
    /// Where the host's files are.
    pub roots: HostRoots,
    /// Becomes part of the chips' ids.
    pub node_name: String,
    /// Time between two readings.
    pub period: Duration,
    /// Longest time that one may take.
    pub deadline: Duration,
}

/// What the worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    library: Option<PathBuf>,
    root: PathBuf,
    node_name: String,
    period_seconds: f64,
    /// Less than the agent's deadline: what was read until then is better than nothing.
    patience_seconds: f64,
    avoided: String,
}

/// The library that [`sampler`] would have loaded, as seen from here: the named one, or the first of those that the
/// driver's packages install. Without one, the worker asks the loader.
pub fn library(roots: &HostRoots, named: Option<&Path>) -> Option<PathBuf> {
    place::find(roots, named).file
}

/// The sampler `ascend` by way of the library. Nothing is loaded before its first run.
///
/// Whether this process may open the cards at all is for the caller to find out first.
pub fn sampler(launch: Launch) -> io::Result<WorkerSampler> {
    let descriptor = Descriptor {
        name: NAME,
        period: launch.period,
        deadline: launch.deadline,
        instruments: &INSTRUMENTS,
    };
    Ok(WorkerSampler::new(descriptor, Worker::new(command(launch)?)))
}

/// The worker's program and all that it needs to know.
pub fn command(launch: Launch) -> io::Result<Command> {
    let Place { file, libraries } = place::find(&launch.roots, launch.library.as_deref());
    let order = Order {
        library: file,
        root: launch.roots.path("/"),
        node_name: launch.node_name,
        period_seconds: launch.period.as_secs_f64(),
        patience_seconds: launch.deadline.as_secs_f64() * 0.75,
        avoided: String::new(),
    };
    Ok(Command {
        program: launch.program,
        arguments: vec!["worker".to_owned(), NAME.to_owned()],
        environment: vec![
            (VARIABLE, serde_json::to_string(&order)?.into()),
            // The loader reads it when a process starts, and the library needs others of the driver's.
            ("LD_LIBRARY_PATH", OsString::from(libraries)),
        ],
    })
}

/// `agent worker ascend`. What it is to do stands in its environment.
pub fn serve() -> io::Result<()> {
    let order: Order = order(VARIABLE)?;
    let mut work: Option<Work> = None;
    // Not before the first request: only then does what the library prints no longer go into the pipe.
    serve_renewing(move |id| {
        let mut started = match work.take().map_or_else(|| Work::new(order.clone()), Ok) {
            Ok(started) => started,
            Err(error) => {
                let reason = format!("the thread that calls libdcmi cannot be started: {error}");
                return (Reply::empty(id, WireOutcome::Retry, reason), None);
            }
        };
        let answer = started.sample(id);
        work = Some(started);
        answer
    })
}

/// The worker's state.
#[derive(Debug)]
struct Work {
    order: Order,
    avoided: Vec<Avoided>,
    patience: Duration,
    vendor: Vendor,
    opened: Option<Opened>,
    builder: Builder,
}

#[derive(Debug)]
struct Opened {
    driver_version: Option<String>,
    chips: usize,
    silent_cards: u64,
}

/// Why a reading ended before all chips were read.
enum End {
    All,
    Hung(Question),
    Slow,
    Failed(OpenError),
    /// The thread is gone: it panicked.
    Lost,
}

impl Work {
    fn new(order: Order) -> io::Result<Self> {
        let avoided = Avoided::split(&order.avoided);
        let roots = HostRoots::new(&order.root);
        let node = Node::new(&roots, order.node_name.clone());
        let processes = Processes::new(&roots);
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
        let gap = seconds(order.period_seconds)?.saturating_mul(MAX_AGE_PERIODS * 2);
        Ok(Self {
            patience: seconds(order.patience_seconds)?,
            vendor: Vendor::start(order.library.clone(), avoided.clone())?,
            builder: Builder::new(Points::new(node, processes.clone(), gap), processes),
            opened: None,
            avoided,
            order,
        })
    }

    fn sample(&mut self, id: u64) -> (Reply, Option<process::Command>) {
        self.vendor.request(id);
        let (readings, end) = self.collect(id);
        let mut skipped = BTreeMap::new();
        let mut count = |reason: String, more: u64| *skipped.entry(reason).or_default() += more;
        for reason in readings.iter().flat_map(|reading| &reading.skipped) {
            count(reason.clone(), 1);
        }
        if let Some(silent) = self
            .opened
            .as_ref()
            .map(|opened| opened.silent_cards)
            .filter(|cards| *cards > 0)
        {
            count("card_silent".to_owned(), silent);
        }
        let read = readings.len();
        let nobody_answers = read > 0 && readings.iter().all(|reading| !reading.answered);
        let (outcome, reason, renew) = match end {
            End::All if nobody_answers => (
                WireOutcome::Retry,
                "no chip answers libdcmi any more, which is started anew; if that lasts, look at `dmesg`".to_owned(),
                true,
            ),
            End::All if read == 0 => (
                WireOutcome::Retry,
                "no card tells libdcmi how many chips it has; look at `dmesg`".to_owned(),
                true,
            ),
            End::All => (WireOutcome::Sampled, String::new(), false),
            End::Hung(question) => {
                count(format!("{}_hung", question.query.as_str()), 1);
                (WireOutcome::Retry, self.avoid(question), true)
            }
            End::Slow => (WireOutcome::Retry, self.slow(read), false),
            End::Failed(error) => (outcome_of(&error), chain(&error), true),
            End::Lost => (
                WireOutcome::Retry,
                "the thread that calls libdcmi has ended; this is a fault of the agent, please report it".to_owned(),
                true,
            ),
        };
        let parts = match read {
            // What was true before may still be: a reading that failed says nothing of it.
            0 if outcome == WireOutcome::Retry => Vec::new(),
            _ => vec![self.part(readings, &mut skipped)],
        };
        let reply = Reply {
            id,
            outcome,
            reason,
            parts,
            skipped,
            renewal: None,
            successor: None,
        };
        (reply, renew.then(|| self.renewal()).flatten())
    }

    /// What the thread tells until it is done or the agent would lose its patience. Before the library works it is
    /// waited for without end: there is nothing to tell, and the agent kills the whole process.
    fn collect(&mut self, id: u64) -> (Vec<Reading>, End) {
        let until = Instant::now() + self.patience;
        let mut readings = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = match self.opened {
                None => self.vendor.events.recv().ok(),
                Some(_) => match self.vendor.events.recv_timeout(left) {
                    Ok(event) => Some(event),
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return (readings, self.overdue()),
                },
            };
            match event {
                Some(Event::Opened {
                    driver_version,
                    chips,
                    silent_cards,
                }) => {
                    self.opened = Some(Opened {
                        driver_version,
                        chips,
                        silent_cards,
                    });
                }
                Some(Event::Failed(error)) => return (readings, End::Failed(error)),
                Some(Event::Chip(of, reading)) if of == id => readings.push(*reading),
                Some(Event::Done(of)) if of == id => return (readings, End::All),
                // Of an earlier request that took too long.
                Some(Event::Chip(..) | Event::Done(_)) => {}
                None => return (readings, End::Lost),
            }
        }
    }

    /// A question that took most of the time hangs; many that took a little each are slow.
    fn overdue(&self) -> End {
        match self.vendor.board.question() {
            Some(question) if question.age() > self.patience / 2 => End::Hung(question),
            _ => End::Slow,
        }
    }

    fn avoid(&mut self, question: Question) -> String {
        let Question { npu, chip, query, .. } = question;
        self.avoided.retain(|one| !one.is_due());
        self.avoided.push(Avoided::now(npu, chip, query));
        format!(
            "NPU {npu} chip {chip} did not answer libdcmi when asked for its {} within {:.1} s: it is not asked for that \
             for ten minutes; look at `dmesg` for a stuck chip",
            query.as_str(),
            question.age().as_secs_f64()
        )
    }

    fn slow(&self, read: usize) -> String {
        let chips = self.opened.as_ref().map_or(0, |opened| opened.chips);
        format!(
            "the Ascend driver answered for {read} of {chips} chips within {:.1} s: set a longer ascend.timeout, or let \
             fewer others ask it",
            self.patience.as_secs_f64()
        )
    }

    fn part(&mut self, readings: Vec<Reading>, skipped: &mut BTreeMap<String, u64>) -> WirePart {
        let now = Moment::now();
        let version = self.opened.as_ref().and_then(|opened| opened.driver_version.clone());
        let points = self.builder.build(readings, version, now, skipped);
        WirePart {
            name: String::new(),
            points: points.iter().map(WirePoint::of).collect(),
        }
    }

    /// This process anew: the library can be started again in no other way, and a thread that hangs in it ends in no
    /// other way.
    fn renewal(&self) -> Option<process::Command> {
        let order = Order {
            avoided: Avoided::join(&self.avoided),
            ..self.order.clone()
        };
        let mut command = process::Command::new("/proc/self/exe");
        command
            .args(["worker", NAME])
            .env(VARIABLE, serde_json::to_string(&order).ok()?);
        Some(command)
    }
}

const fn outcome_of(error: &OpenError) -> WireOutcome {
    match error {
        OpenError::NotFound(_) | OpenError::NoChip => WireOutcome::NothingHere,
        _ => WireOutcome::Retry,
    }
}
