//! Thread of a worker that calls the vendor's library, with timeouts for its callers.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::WorkerConfig;
use super::handover::Handover;
use super::progress::Progress;
use super::protocol::{RenewalReason, Reply, WireOutcome};
use super::serve::serve;
use super::suspension::{Fault, Suspended, Suspension, Suspensions, WorkUnit};

/// A loaded and initialised vendor library. All calls are made by one thread.
pub trait Library: Sized + 'static {
    /// Name in messages, and of the thread.
    const NAME: &'static str;
    /// Whether a pass that exceeded its time limit continues in the next request; otherwise its readings are dropped.
    const RESUMES: bool;
    /// Time limit of the initialisation, after which the process is replaced. If absent, a request waits until the
    /// agent kills the process.
    const START: Option<Duration>;
    /// Time after which the process of a library that fails to initialise is replaced.
    const RETRY: Duration;

    /// Its part of the configuration.
    type Config: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// Partial result of a pass.
    type Reading: Send + 'static;
    /// Summary of a pass.
    type Summary: Send + 'static;
    /// Reason why it cannot be used.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Loads and initialises the library.
    fn open(config: WorkerConfig<Self::Config>) -> Result<Self, Self::Error>;

    /// Reads all devices once, except for suspended tasks.
    fn read(&mut self, pass: &Pass<'_, Self>) -> Result<Self::Summary, Disconnected>;
}

/// Part of a worker that converts a library's readings to replies.
pub trait Replies: Sized {
    /// The library.
    type Library: Library;

    /// Creates the state before the first request.
    fn new(config: &WorkerConfig<<Self::Library as Library>::Config>) -> Self;

    /// The reply to one request, without its id.
    fn reply(&mut self, thread: &mut LibraryThread<Self::Library>) -> Reply<'static>;
}

/// Runs a worker process with the configuration in its environment.
pub fn serve_library<R: Replies>() -> io::Result<()> {
    let config = WorkerConfig::inherited()?;
    let mut replies = R::new(&config);
    let mut thread = None;
    serve(move |id| {
        // Not before the first request: from then on the library's output no longer goes into the pipe.
        let started = match thread.take() {
            Some(thread) => Ok(thread),
            None => LibraryThread::start(config.clone()),
        };
        match started {
            Ok(started) => Reply {
                id,
                ..replies.reply(thread.insert(started))
            },
            Err(error) => {
                let reason = format!("the thread that calls {} cannot be started: {error}", R::Library::NAME);
                Reply::empty(id, WireOutcome::Retry, reason)
            }
        }
    })
}

/// The receiver of the readings no longer exists.
#[derive(Debug)]
pub struct Disconnected;

/// One pass over all devices.
#[derive(Debug)]
pub struct Pass<'a, L: Library> {
    /// Suspended tasks and devices.
    pub suspended: &'a Suspended,
    /// Progress of the pass: each call of the library is made within [`Progress::during`].
    pub progress: &'a Progress,
    number: u64,
    events: &'a Sender<Event<L>>,
}

impl<L: Library> Pass<'_, L> {
    /// Sends a reading.
    pub fn send(&self, reading: L::Reading) -> Result<(), Disconnected> {
        self.events
            .send(Event::Reading(self.number, reading))
            .map_err(|_| Disconnected)
    }
}

#[derive(Debug)]
enum Event<L: Library> {
    Opened,
    /// The thread has ended.
    Failed(L::Error),
    /// It ended in the pass of that number.
    Reading(u64, L::Reading),
    Done(u64, L::Summary),
}

/// End of the wait for a pass.
#[derive(Debug)]
pub enum End<L: Library> {
    /// All devices were read.
    Done(L::Summary),
    /// A call did not return. It is suspended in the next process.
    Hung(Hang),
    /// Many calls took long.
    Slow,
    /// The library is starting.
    Starting {
        /// Time since the start of the thread.
        age: Duration,
        /// Whether the process must be replaced.
        renews: bool,
    },
    /// The library cannot be used.
    Failed {
        /// The reason.
        error: Arc<L::Error>,
        /// Whether the process must be replaced.
        renews: bool,
    },
    /// The thread panicked, for this reason.
    Gone(String),
}

impl<L: Library> End<L> {
    /// Why the process must be replaced, if this end alone requires it.
    pub fn renewal_reason(&self) -> Option<RenewalReason> {
        match self {
            Self::Hung(_) => Some(RenewalReason::Hung),
            Self::Starting { renews: true, .. } => Some(RenewalReason::StartHung),
            Self::Failed { renews: true, .. } => Some(RenewalReason::StartFailed),
            Self::Gone(_) => Some(RenewalReason::Panicked),
            Self::Done(_) | Self::Slow | Self::Starting { .. } | Self::Failed { .. } => None,
        }
    }
}

/// A call that did not return.
#[derive(Debug)]
pub struct Hang {
    /// Task of the call.
    pub unit: WorkUnit,
    age: Duration,
    suspension: Option<Suspension>,
}

impl std::fmt::Display for Hang {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.age.as_secs_f64();
        write!(f, "did not answer for {seconds:.1} s when asked for {}", self.unit)?;
        match &self.suspension {
            Some(suspension) => write!(f, "; left alone for a while: {suspension}"),
            None => Ok(()),
        }
    }
}

/// A library on a thread of its own.
#[derive(Debug)]
pub struct LibraryThread<L: Library> {
    /// Suspensions of this process and the next one.
    pub config: WorkerConfig<L::Config>,
    requests: Sender<(u64, Suspended)>,
    events: Receiver<Event<L>>,
    progress: Progress,
    handover: Option<Arc<Handover>>,
    /// Suspensions in the last pass.
    suspended: Suspended,
    started: Instant,
    is_open: bool,
    is_reading: bool,
    pass: u64,
    failure: Option<Arc<L::Error>>,
}

impl<L: Library> LibraryThread<L> {
    /// Starts the thread, which loads the library.
    fn start(mut config: WorkerConfig<L::Config>) -> io::Result<Self> {
        let handover = Handover::inherited().map(Arc::new);
        if let Some(handover) = &handover {
            inherit(&mut config.suspensions, handover, config.first_suspension);
        }
        let (requests, requested) = channel();
        let (sender, events) = channel();
        let progress = Progress::new(handover.clone());
        let (shared, own) = (progress.clone(), config.clone());
        std::thread::Builder::new()
            .name(L::NAME.to_owned())
            .spawn(move || run::<L>(own, &shared, &requested, &sender))?;
        Ok(Self {
            config,
            requests,
            events,
            progress,
            handover,
            suspended: Suspended::default(),
            started: Instant::now(),
            is_open: false,
            is_reading: false,
            pass: 0,
            failure: None,
        })
    }

    /// Time since the start of the thread.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Number of started passes.
    pub const fn passes(&self) -> u64 {
        self.pass
    }

    /// Suspensions in the last pass.
    pub const fn suspended(&self) -> &Suspended {
        &self.suspended
    }

    /// Reads all devices once, within the time limit of a request. `take` gets the number of the pass with each
    /// reading.
    pub fn read(&mut self, mut take: impl FnMut(u64, L::Reading)) -> End<L> {
        if !(L::RESUMES && self.is_reading) {
            self.is_reading = true;
            self.pass += 1;
            self.suspended = self.config.suspensions.at(SystemTime::now());
            // A thread that has ended has sent its result.
            self.requests.send((self.pass, self.suspended.clone())).ok();
        }
        let until = Instant::now() + self.config.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = if L::START.is_none() && !self.is_open {
                self.events.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.events.recv_timeout(left)
            };
            match event {
                Ok(Event::Opened) => self.is_open = true,
                Ok(Event::Failed(error)) => self.failure = Some(Arc::new(error)),
                Ok(Event::Reading(pass, reading)) if pass == self.pass => take(pass, reading),
                Ok(Event::Done(pass, summary)) if pass == self.pass => {
                    self.is_reading = false;
                    return End::Done(summary);
                }
                // Reading of a pass that exceeded its time limit.
                Ok(Event::Reading(..) | Event::Done(..)) => {}
                Err(RecvTimeoutError::Disconnected) => return self.ended(),
                Err(RecvTimeoutError::Timeout) => return self.overdue(),
            }
        }
    }

    fn ended(&self) -> End<L> {
        match &self.failure {
            Some(error) => End::Failed {
                error: Arc::clone(error),
                renews: self.age() >= L::RETRY,
            },
            None => End::Gone(format!(
                "the thread that calls {} has ended; this is a fault of the agent, please report it",
                L::NAME
            )),
        }
    }

    /// A call that took most of the time hangs; many calls that took a little each are slow.
    fn overdue(&mut self) -> End<L> {
        if !self.is_open {
            let age = self.age();
            let renews = L::START.is_some_and(|most| age > most);
            return End::Starting { age, renews };
        }
        let Some(call) = self
            .progress
            .call()
            .filter(|call| call.age() > self.config.patience / 2)
        else {
            return End::Slow;
        };
        let (unit, first) = (call.unit.clone(), self.config.first_suspension);
        let suspensions = &mut self.config.suspensions;
        let suspension = suspensions.record(unit, Fault::Hung, first, SystemTime::now()).cloned();
        self.progress.close();
        if let Some(handover) = &self.handover {
            hand_over(&self.config.suspensions, handover);
        }
        End::Hung(Hang {
            age: call.age(),
            unit: call.unit,
            suspension,
        })
    }
}

fn run<L: Library>(
    config: WorkerConfig<L::Config>,
    progress: &Progress,
    requested: &Receiver<(u64, Suspended)>,
    events: &Sender<Event<L>>,
) {
    let mut library = match L::open(config) {
        Ok(library) => library,
        Err(error) => {
            // Without a receiver the process is ending.
            events.send(Event::Failed(error)).ok();
            return;
        }
    };
    if events.send(Event::Opened).is_err() {
        return;
    }
    while let Ok((number, suspended)) = requested.recv() {
        let pass = Pass {
            suspended: &suspended,
            progress,
            number,
            events,
        };
        let Ok(summary) = library.read(&pass) else { return };
        progress.rest();
        if events.send(Event::Done(number, summary)).is_err() {
            return;
        }
    }
}

/// Takes over the suspensions of the preceding processes, and suspends the call in which the last of them crashed.
fn inherit(suspensions: &mut Suspensions, handover: &Handover, first: Duration) {
    if let Ok(stored) = serde_json::from_str(&handover.stored()) {
        *suspensions = stored;
    }
    if let Ok(unit) = serde_json::from_str::<WorkUnit>(&handover.marked()) {
        suspensions.record(unit, Fault::Crashed, first, SystemTime::now());
        hand_over(suspensions, handover);
        handover.mark("");
    }
}

fn hand_over(suspensions: &Suspensions, handover: &Handover) {
    handover.store(&serde_json::to_string(suspensions).unwrap_or_default());
}
