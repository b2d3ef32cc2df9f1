//! `agent worker nvidia`: what it is told, and what it answers.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::nvml::{Code, OpenError};
use super::quarantine::{Case, Fault, Place, Quarantine};
use super::vendor::{Done, Event, Question, StartError, Task, Vendor};
use accelscope_core::chain;
use accelscope_core::host::HostRoots;
use accelscope_core::worker::{Keepsake, Reply, WireOutcome, WirePart, WirePoint, order, serve as serve_requests};

/// Environment variable of the worker: its [`Order`] as JSON.
pub(super) const VARIABLE: &str = "ACCELSCOPE_WORKER_NVIDIA";

/// Longest time that the driver may take to start all GPUs: without persistence mode it takes seconds for each.
const START: Duration = Duration::from_mins(2);

/// A process whose library does not work is replaced after this time: the library's file may have been.
const RENEW: Duration = Duration::from_secs(10);

/// Most bytes that the topics may hand to the next process.
const MOST_CARRIED: usize = 32 << 10;

/// What the worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) libraries: Vec<PathBuf>,
    pub(super) root: PathBuf,
    pub(super) node_name: String,
    pub(super) period_seconds: f64,
    /// Less than the agent's deadline: what was read until then is better than nothing.
    pub(super) patience_seconds: f64,
    /// How long what hung or crashed is left alone for the first time.
    pub(super) rest_seconds: f64,
    #[serde(default)]
    pub(super) quarantine: Quarantine,
    #[serde(default)]
    pub(super) carried: BTreeMap<String, Value>,
}

/// `agent worker nvidia`. What it is to do stands in its environment.
pub fn serve() -> io::Result<()> {
    let order: Order = order(VARIABLE)?;
    let mut work: Option<Work> = None;
    // Not before the first request: only then does what the library prints no longer go into the pipe.
    serve_requests(move |id| {
        let mut started = match work.take().map_or_else(|| Work::new(order.clone()), Ok) {
            Ok(started) => started,
            Err(error) => {
                let reason = format!("the thread that calls NVML cannot be started: {error}");
                return Reply::empty(id, WireOutcome::Retry, reason);
            }
        };
        let answer = started.sample(id);
        work = Some(started);
        answer
    })
}

/// What was last read of a GPU.
#[derive(Debug)]
struct Latest {
    pass: u64,
    read: Instant,
    points: Vec<WirePoint>,
}

/// The worker's state.
#[derive(Debug)]
struct Work {
    order: Order,
    keepsake: Option<Arc<Keepsake>>,
    rest: Duration,
    patience: Duration,
    /// Older readings are not shown.
    fresh: Duration,
    vendor: Vendor,
    started: Instant,
    is_open: bool,
    /// Counts the passes; one that takes too long is not asked for again before it has ended.
    pass: u64,
    is_reading: bool,
    latest: HashMap<Arc<str>, Latest>,
    failed: Option<String>,
}

/// Why a pass was not waited for any longer, or how it ended.
enum End {
    Done(Done),
    Hung(Question),
    Slow,
    Starting,
    Failed(StartError),
    /// The thread is gone: it panicked, or has said why before.
    Gone,
}

impl Work {
    fn new(mut order: Order) -> io::Result<Self> {
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).map_err(io::Error::other);
        let rest = seconds(order.rest_seconds)?;
        let keepsake = Keepsake::inherited().map(Arc::new);
        if let Some(keepsake) = &keepsake {
            inherit(&mut order.quarantine, keepsake, rest);
        }
        let task = Task {
            libraries: order.libraries.clone(),
            roots: HostRoots::new(&order.root),
            node_name: order.node_name.clone(),
            quarantine: order.quarantine.clone(),
            carried: order.carried.clone(),
        };
        Ok(Self {
            patience: seconds(order.patience_seconds)?,
            fresh: seconds(order.period_seconds)?.saturating_mul(3),
            vendor: Vendor::start(task, keepsake.clone())?,
            keepsake,
            rest,
            started: Instant::now(),
            is_open: false,
            pass: 0,
            is_reading: false,
            latest: HashMap::new(),
            failed: None,
            order,
        })
    }

    fn sample(&mut self, id: u64) -> Reply {
        if !std::mem::replace(&mut self.is_reading, true) {
            self.pass += 1;
            self.vendor.request();
        }
        let mut skipped = BTreeMap::new();
        let end = self.collect(&mut skipped);
        let mut reply = self.answer(id, end, &mut skipped);
        reply.skipped = skipped;
        // A library that crashes the next time must not take back what was counted until now.
        if reply.renewal.is_none() && !self.order.carried.is_empty() {
            reply.successor = self.renewal(None);
        }
        reply
    }

    /// What the thread tells until it is done or the agent would lose its patience.
    fn collect(&mut self, skipped: &mut BTreeMap<String, u64>) -> End {
        let until = Instant::now() + self.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.vendor.events.recv_timeout(left) {
                Ok(Event::Opened) => self.is_open = true,
                Ok(Event::Failed(error)) => return End::Failed(error),
                Ok(Event::Read {
                    gpu,
                    points,
                    skipped: more,
                }) => {
                    for (reason, count) in more {
                        *skipped.entry(reason).or_default() += count;
                    }
                    self.keep(gpu, &points);
                }
                Ok(Event::Carried(carried)) => self.order.carried = bounded(carried),
                Ok(Event::Done(done)) => {
                    self.is_reading = false;
                    return End::Done(done);
                }
                Err(RecvTimeoutError::Disconnected) => return End::Gone,
                Err(RecvTimeoutError::Timeout) if !self.is_open => return End::Starting,
                // What took most of the time hangs; much that took a little each is slow.
                Err(RecvTimeoutError::Timeout) => {
                    let question = self.vendor.board.question();
                    return match question.filter(|question| question.age() > self.patience / 2) {
                        Some(question) => End::Hung(question),
                        None => End::Slow,
                    };
                }
            }
        }
    }

    fn keep(&mut self, gpu: Arc<str>, points: &[accelscope_core::metric::Point]) {
        let latest = self.latest.entry(gpu).or_insert_with(|| Latest {
            pass: 0,
            read: Instant::now(),
            points: Vec::new(),
        });
        if latest.pass != self.pass {
            latest.pass = self.pass;
            latest.points.clear();
        }
        latest.read = Instant::now();
        latest.points.extend(points.iter().map(WirePoint::of));
    }

    fn answer(&mut self, id: u64, end: End, skipped: &mut BTreeMap<String, u64>) -> Reply {
        match end {
            End::Done(done) => self.done(id, done),
            End::Hung(question) => {
                let age = question.age();
                let place = &question.place;
                *skipped.entry(format!("{}.hung", place.topic)).or_default() += 1;
                let reason = format!(
                    "NVML did not answer for {:.1} s when asked for {place}, which is left alone for a while; \
                     look at `dmesg` for NVRM lines",
                    age.as_secs_f64(),
                );
                self.order
                    .quarantine
                    .strike(question.place, Fault::Hung, self.rest, SystemTime::now());
                self.vendor.board.close();
                if let Some(keepsake) = &self.keepsake {
                    leave(&self.order.quarantine, keepsake);
                }
                Reply {
                    parts: self.parts(),
                    renewal: self.renewal(None),
                    ..Reply::empty(id, WireOutcome::Retry, reason)
                }
            }
            End::Slow => {
                let reason = format!(
                    "the NVIDIA driver did not answer for all GPUs within {:.1} s; what it has told is shown",
                    self.patience.as_secs_f64()
                );
                Reply {
                    parts: self.parts(),
                    ..Reply::empty(id, WireOutcome::Retry, reason)
                }
            }
            End::Starting => {
                let age = self.started.elapsed();
                let reason = format!(
                    "NVML has been starting for {:.0} s; with nvidia-persistenced running, the driver need not start each \
                     GPU anew",
                    age.as_secs_f64()
                );
                Reply {
                    renewal: (age > START).then(|| self.renewal(None)).flatten(),
                    ..Reply::empty(id, WireOutcome::Retry, reason)
                }
            }
            End::Failed(error) => {
                let reason = failure(&error);
                self.failed = Some(reason.clone());
                Reply::empty(id, WireOutcome::Retry, reason)
            }
            End::Gone => {
                let reason = self.failed.clone();
                let why = reason.unwrap_or_else(|| {
                    "the thread that calls NVML has ended; this is a fault of the agent, please report it".to_owned()
                });
                let is_time = self.failed.is_none() || self.started.elapsed() > RENEW;
                Reply {
                    renewal: is_time.then(|| self.renewal(None)).flatten(),
                    ..Reply::empty(id, WireOutcome::Retry, why)
                }
            }
        }
    }

    fn done(&mut self, id: u64, done: Done) -> Reply {
        if let Some(error) = done.fatal {
            self.latest.clear();
            let reason = format!("{error}; NVML is started anew");
            return Reply {
                renewal: self.renewal(Some(done.carried)),
                ..Reply::empty(id, WireOutcome::Retry, reason)
            };
        }
        self.order.carried = bounded(done.carried);
        self.latest.retain(|_, latest| latest.pass == self.pass);
        let parts = self.parts();
        let (outcome, reason) = match (done.gpus, done.lost) {
            (0, _) => (WireOutcome::NothingHere, "NVML lists no GPU".to_owned()),
            (gpus, lost) => (WireOutcome::Sampled, amiss(gpus, lost, &done.cases)),
        };
        // A process to which all GPUs are lost, or that a driver which was loaded anew knows nothing of, holds handles of
        // the past, and may be what keeps the GPUs from being reset.
        let is_deaf = done.gpus > done.resting && done.answered == 0;
        let renew = is_deaf && (done.lost == 0 || self.started.elapsed() > RENEW);
        let (outcome, reason) = if done.resting > 0 && done.resting == done.gpus {
            (WireOutcome::Retry, reason)
        } else if is_deaf && done.lost == 0 {
            let reason = "no GPU answers NVML any more, which is started anew; if that lasts, look at `dmesg`";
            (WireOutcome::Retry, reason.to_owned())
        } else {
            (outcome, reason)
        };
        Reply {
            parts,
            renewal: renew.then(|| self.renewal(None)).flatten(),
            ..Reply::empty(id, outcome, reason)
        }
    }

    fn parts(&self) -> Vec<WirePart> {
        let fresh = self
            .latest
            .iter()
            .filter(|(_, latest)| latest.read.elapsed() <= self.fresh);
        fresh
            .map(|(gpu, latest)| WirePart {
                name: gpu.to_string(),
                points: latest.points.clone(),
            })
            .collect()
    }

    /// The order of the next process.
    fn renewal(&self, carried: Option<BTreeMap<String, Value>>) -> Option<String> {
        let order = Order {
            carried: carried.map_or_else(|| self.order.carried.clone(), bounded),
            ..self.order.clone()
        };
        serde_json::to_string(&order).ok()
    }
}

/// What the processes before this one found, and what the last of them read when it ended without a word.
fn inherit(quarantine: &mut Quarantine, keepsake: &Keepsake, rest: Duration) {
    if let Ok(left) = serde_json::from_str(&keepsake.stored()) {
        *quarantine = left;
    }
    if let Ok(place) = serde_json::from_str::<Place>(&keepsake.marked()) {
        quarantine.strike(place, Fault::Crashed, rest, SystemTime::now());
        leave(quarantine, keepsake);
        keepsake.mark("");
    }
}

/// For the process that follows.
fn leave(quarantine: &Quarantine, keepsake: &Keepsake) {
    keepsake.store(&serde_json::to_string(quarantine).unwrap_or_default());
}

/// What is missing from a reading that succeeded, and why.
fn amiss(gpus: usize, lost: usize, cases: &[Case]) -> String {
    let lost = (lost > 0).then(|| format!("{lost} of {gpus} GPUs are lost: look at `dmesg` for `NVRM: Xid` lines"));
    let resting: Vec<String> = cases.iter().map(ToString::to_string).collect();
    let resting = (!resting.is_empty()).then(|| {
        format!(
            "left alone, since the driver hung or crashed: {}; look at `dmesg` for NVRM lines",
            resting.join(", ")
        )
    });
    let all: Vec<String> = lost.into_iter().chain(resting).collect();
    all.join("; ")
}

/// What is wrong, and how to mend it.
fn failure(error: &StartError) -> String {
    let remedy = match error {
        StartError::Open(OpenError::Init(error)) => match error.code {
            Code::DriverNotLoaded => "; load it (`modprobe nvidia`), or look at `dmesg` for why it does not load",
            Code::LibRmVersionMismatch => "; reboot, or reload the driver (`rmmod nvidia_uvm nvidia`) after an upgrade",
            Code::NoPermission => {
                "; run the agent as a user who may open /dev/nvidiactl, in a container with the device"
            }
            _ => "; look at `dmesg` for NVRM lines",
        },
        _ => "",
    };
    format!("{}{remedy}", chain(error))
}

fn bounded(carried: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut left = MOST_CARRIED;
    carried
        .into_iter()
        .filter(|(_, value)| {
            let size = value.to_string().len();
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        })
        .collect()
}
