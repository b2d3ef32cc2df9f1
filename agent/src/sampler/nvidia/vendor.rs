//! The one thread that calls NVML, and what the others see of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::avoid::Avoided;
use super::fleet::Fleet;
use super::library::{self, Refused};
use super::nvml::{Nvml, NvmlError, OpenError};
use super::sheet::Sheet;
use super::topic::Topic;
use super::{status, topics};
use crate::host::HostRoots;
use crate::host::process::Processes;
use crate::metric::{Point, Timestamp};

/// Why NVML cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("no libnvidia-ml.so.1 was found: {}", library::REMEDY)]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What the thread needs to know.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) libraries: Vec<PathBuf>,
    pub(super) roots: HostRoots,
    pub(super) node_name: String,
    pub(super) avoided: Vec<Avoided>,
    /// What the topics of the process before gave, by name.
    pub(super) carried: BTreeMap<String, Value>,
}

/// What is being read.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) gpu: Arc<str>,
    pub(super) topic: &'static str,
    since: Instant,
}

impl Question {
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Where the thread writes down what it reads: it cannot say so when it hangs.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<Option<Question>>>);

impl Board {
    fn begin(&self, gpu: &Arc<str>, topic: &'static str) {
        self.set(Some(Question {
            gpu: Arc::clone(gpu),
            topic,
            since: Instant::now(),
        }));
    }

    fn end(&self) {
        self.set(None);
    }

    pub(super) fn question(&self) -> Option<Question> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, question: Option<Question>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = question;
    }
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Event {
    /// The library works.
    Opened,
    /// It does not; the thread has ended.
    Failed(StartError),
    /// One topic of one GPU was read, or with an empty name what belongs to no GPU.
    Read {
        gpu: Arc<str>,
        points: Vec<Point>,
        skipped: BTreeMap<String, u64>,
    },
    /// State of topics that the next process must have, even if this pass never ends.
    Carried(BTreeMap<String, Value>),
    /// The pass is over.
    Done(Done),
}

/// How a pass ended.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// How many GPUs there are.
    pub(super) gpus: usize,
    /// How many of them answer nothing.
    pub(super) lost: usize,
    /// How many of them answered anything.
    pub(super) answered: usize,
    /// Why nothing works any more.
    pub(super) fatal: Option<NvmlError>,
    pub(super) carried: BTreeMap<String, Value>,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) board: Board,
    pub(super) events: Receiver<Event>,
    requests: Sender<()>,
}

impl Vendor {
    /// Starts it. Its first event tells whether the library works.
    pub(super) fn start(task: Task) -> io::Result<Self> {
        let (requests, asked) = channel();
        let (tell, events) = channel();
        let board = Board::default();
        let shared = board.clone();
        std::thread::Builder::new()
            .name("nvml".to_owned())
            .spawn(move || run(task, &shared, &asked, &tell))?;
        Ok(Self {
            board,
            events,
            requests,
        })
    }

    /// Has all GPUs read once.
    pub(super) fn request(&self) {
        // A thread that has ended has said so.
        self.requests.send(()).ok();
    }
}

fn run(task: Task, board: &Board, asked: &Receiver<()>, tell: &Sender<Event>) {
    let nvml = match open(&task.libraries) {
        Ok(nvml) => nvml,
        Err(error) => {
            // Nobody listens any more only where the process ends.
            tell.send(Event::Failed(error)).ok();
            return;
        }
    };
    if tell.send(Event::Opened).is_err() {
        return;
    }
    let mut pass = Pass::new(nvml, task);
    while asked.recv().is_ok() {
        if pass.read(board, tell).is_err() {
            return;
        }
    }
}

/// The first that works; the first error where none does.
fn open(libraries: &[PathBuf]) -> Result<Nvml, StartError> {
    let mut first = None;
    for path in libraries {
        let opened = library::check(path)
            .map_err(StartError::from)
            .and_then(|()| Ok(Nvml::open(path)?));
        match opened {
            Ok(nvml) => return Ok(nvml),
            Err(error) => first = first.or(Some(error)),
        }
    }
    if let Some(error) = first {
        return Err(error);
    }
    // The loader may know one.
    Nvml::open(std::path::Path::new("libnvidia-ml.so.1")).map_err(|error| match error {
        OpenError::Load { .. } => StartError::NotFound,
        error => error.into(),
    })
}

/// Nobody listens any more.
struct Deaf;

struct Pass {
    fleet: Fleet,
    topics: Vec<Box<dyn Topic>>,
    sheet: Sheet,
    avoided: Vec<Avoided>,
}

impl Pass {
    fn new(nvml: Nvml, task: Task) -> Self {
        let context = topics::Context {
            nvml,
            roots: &task.roots,
        };
        let mut topics = topics::all(context);
        let mut carried = task.carried;
        for topic in &mut topics {
            if let Some(state) = carried.remove(topic.name()) {
                topic.restore(state);
            }
        }
        let boot = Processes::new(&task.roots)
            .boot_time()
            .unwrap_or_else(|_| Timestamp::now());
        Self {
            fleet: Fleet::new(nvml, task.roots, task.node_name),
            topics,
            sheet: Sheet::new(boot),
            avoided: task.avoided,
        }
    }

    fn read(&mut self, board: &Board, tell: &Sender<Event>) -> Result<(), Deaf> {
        let nobody: Arc<str> = "".into();
        self.sheet.now();
        board.begin(&nobody, "devices");
        let refreshed = self.fleet.refresh(&mut self.sheet);
        board.end();
        self.begin(board, tell)?;
        let mut done = Done::default();
        match refreshed {
            Ok(()) => self.gpus(board, tell, &mut done)?,
            Err(error) => self.sheet.fail(error),
        }
        for topic in &mut self.topics {
            if !rests(&self.avoided, "", topic.name()) {
                board.begin(&nobody, topic.name());
                topic.finish(&mut self.sheet);
                board.end();
            }
            if let Some(state) = topic.carry() {
                done.carried.insert(topic.name().to_owned(), state);
            }
        }
        self.hand_on(&nobody, tell)?;
        done.fatal = self.sheet.fatal();
        tell.send(Event::Done(done)).map_err(|_| Deaf)
    }

    fn begin(&mut self, board: &Board, tell: &Sender<Event>) -> Result<(), Deaf> {
        let nobody: Arc<str> = "".into();
        let mut carried = BTreeMap::new();
        for topic in &mut self.topics {
            if rests(&self.avoided, "", topic.name()) {
                self.sheet.skip(format!("{}.avoided", topic.name()));
            } else {
                board.begin(&nobody, topic.name());
                topic.begin(&mut self.sheet);
                board.end();
            }
            if let Some(state) = topic.carry() {
                carried.insert(topic.name().to_owned(), state);
            }
        }
        self.hand_on(&nobody, tell)?;
        tell.send(Event::Carried(carried)).map_err(|_| Deaf)
    }

    fn gpus(&mut self, board: &Board, tell: &Sender<Event>, done: &mut Done) -> Result<(), Deaf> {
        let count = self.fleet.gpus().len();
        for at in 0..count {
            let uuid = Arc::clone(&self.fleet.gpus()[at].uuid);
            for topic in &mut self.topics {
                if rests(&self.avoided, &uuid, topic.name()) {
                    self.sheet.skip(format!("{}.avoided", topic.name()));
                    continue;
                }
                self.sheet.now();
                board.begin(&uuid, topic.name());
                topic.read(&mut self.fleet.gpus()[at], &mut self.sheet);
                board.end();
                let (points, skipped) = self.sheet.take();
                send(&uuid, points, skipped, tell)?;
            }
            let gpu = &self.fleet.gpus()[at];
            done.gpus += 1;
            done.lost += usize::from(gpu.findings.lost);
            done.answered += usize::from(gpu.findings.answered);
            status::tell(gpu, &mut self.sheet);
            self.hand_on(&uuid, tell)?;
        }
        self.fleet.end();
        Ok(())
    }

    fn hand_on(&mut self, gpu: &Arc<str>, tell: &Sender<Event>) -> Result<(), Deaf> {
        let (points, skipped) = self.sheet.take();
        send(gpu, points, skipped, tell)
    }
}

fn rests(avoided: &[Avoided], gpu: &str, topic: &str) -> bool {
    avoided.iter().any(|one| one.is(gpu, topic) && !one.is_due())
}

fn send(gpu: &Arc<str>, points: Vec<Point>, skipped: BTreeMap<String, u64>, tell: &Sender<Event>) -> Result<(), Deaf> {
    if points.is_empty() && skipped.is_empty() {
        return Ok(());
    }
    let read = Event::Read {
        gpu: Arc::clone(gpu),
        points,
        skipped,
    };
    tell.send(read).map_err(|_| Deaf)
}
