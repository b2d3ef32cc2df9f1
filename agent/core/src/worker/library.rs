//! The thread of a worker that calls the vendor's library, and how long the others wait for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::WorkerConfig;
use super::handover::Handover;
use super::progress::Progress;
use super::protocol::{Reply, WireOutcome};
use super::serve::serve;
use super::suspension::{Fault, Suspended, Suspension, Suspensions, WorkUnit};

/// A vendor's library, once it is loaded and started. All calls are made by one thread.
pub trait Library: Sized + 'static {
    /// Its name in messages, and the thread's.
    const NAME: &'static str;
    /// Whether a pass that took too long goes on in the next request; else its readings are dropped.
    const RESUMES: bool;
    /// How long the library may take to start before its process is replaced. Where absent, a request waits until the
    /// agent kills the process.
    const START: Option<Duration>;
    /// The process of a library that does not start is replaced after this time.
    const RETRY: Duration;

    /// Its part of the configuration.
    type Config: Clone + Serialize + DeserializeOwned + Send + 'static;
    /// What a pass yields as it goes.
    type Reading: Send + 'static;
    /// How a pass ended.
    type Summary: Send + 'static;
    /// Why it cannot be used.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Loads and starts the library.
    fn open(config: WorkerConfig<Self::Config>) -> Result<Self, Self::Error>;

    /// Reads all devices once, but for what is suspended.
    fn read(&mut self, pass: &Pass<'_, Self>) -> Result<Self::Summary, Disconnected>;
}

/// The part of a worker that makes replies of a library's readings.
pub trait Replies: Sized {
    /// The library.
    type Library: Library;

    /// Before the first request.
    fn new(config: &WorkerConfig<<Self::Library as Library>::Config>) -> Self;

    /// The reply to one request. It gets its id later.
    fn reply(&mut self, thread: &mut LibraryThread<Self::Library>) -> Reply<'static>;
}

/// Runs a worker process. Its configuration stands in its environment.
pub fn serve_library<R: Replies>() -> io::Result<()> {
    let config = WorkerConfig::inherited()?;
    let mut replies = R::new(&config);
    let mut thread = None;
    serve(move |id| {
        // Not before the first request: only then does what the library prints no longer go into the pipe.
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

/// The receiver of the readings is gone.
#[derive(Debug)]
pub struct Disconnected;

/// One pass over all devices.
#[derive(Debug)]
pub struct Pass<'a, L: Library> {
    /// What is not to be read.
    pub suspended: &'a Suspended,
    /// Each call of the library is made within [`Progress::during`].
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
    /// In the pass of that number.
    Reading(u64, L::Reading),
    Done(u64, L::Summary),
}

/// Why a pass was not waited for any longer, or how it ended.
#[derive(Debug)]
pub enum End<L: Library> {
    /// All devices were read.
    Done(L::Summary),
    /// A call did not return. It is suspended in the process that is to follow.
    Hung(Hang),
    /// Many calls took long.
    Slow,
    /// The library is starting.
    Starting {
        /// For how long.
        age: Duration,
        /// Whether the process is to be replaced.
        renews: bool,
    },
    /// The library cannot be used.
    Failed {
        /// Why.
        error: Arc<L::Error>,
        /// Whether the process is to be replaced.
        renews: bool,
    },
    /// The thread panicked, for this reason.
    Gone(String),
}

/// A call that did not return.
#[derive(Debug)]
pub struct Hang {
    /// For what.
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
    /// For this process and the one that follows.
    pub config: WorkerConfig<L::Config>,
    requests: Sender<(u64, Suspended)>,
    events: Receiver<Event<L>>,
    progress: Progress,
    handover: Option<Arc<Handover>>,
    /// Of the last pass.
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

    /// How long ago the thread was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many passes were begun.
    pub const fn passes(&self) -> u64 {
        self.pass
    }

    /// What was suspended in the last pass.
    pub const fn suspended(&self) -> &Suspended {
        &self.suspended
    }

    /// Has all devices read once, for as long as a request may take. `take` gets the number of the pass with each reading.
    pub fn read(&mut self, mut take: impl FnMut(u64, L::Reading)) -> End<L> {
        if !(L::RESUMES && self.is_reading) {
            self.is_reading = true;
            self.pass += 1;
            self.suspended = self.config.suspensions.at(SystemTime::now());
            // A thread that has ended has reported it.
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
                // Of a pass that took too long.
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

    /// A call that took most of the time hangs; many that took a little each are slow.
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

/// Takes over what the processes before this one suspended, and what the last of them called when it crashed.
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
