//! The one thread that calls NVML, and what the others see of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::fleet::Fleet;
use super::gpu::Gpu;
use super::library;
use super::nvml::{Nvml, NvmlError, OpenError};
use super::quarantine::{Case, Cases, DEVICES, Place, Quarantine};
use super::sheet::Sheet;
use super::topic::Topic;
use super::{status, topics};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::nvidia_parts;
use accelscope_core::metric::{Point, Timestamp, key};
use accelscope_core::trust::{self, Refused};
use accelscope_core::worker::Keepsake;

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
    pub(super) quarantine: Quarantine,
    /// What the topics of the process before gave, by name.
    pub(super) carried: BTreeMap<String, Value>,
}

/// What is being read.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) place: Place,
    since: Instant,
}

impl Question {
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Where the thread writes down what it reads: it cannot say so when it hangs, nor the process when it crashes.
#[derive(Debug, Clone)]
pub(super) struct Board {
    question: Arc<Mutex<Option<Question>>>,
    /// None once it is known what hangs: what the thread does when it awakes is no crash's fault.
    keepsake: Arc<Mutex<Option<Arc<Keepsake>>>>,
}

impl Board {
    fn new(keepsake: Option<Arc<Keepsake>>) -> Self {
        Self {
            question: Arc::default(),
            keepsake: Arc::new(Mutex::new(keepsake)),
        }
    }

    fn begin(&self, gpu: &str, index: Option<u32>, topic: &str) {
        let place = Place {
            gpu: gpu.to_owned(),
            index,
            topic: topic.to_owned(),
        };
        self.mark(&serde_json::to_string(&place).unwrap_or_default());
        self.set(Some(Question {
            place,
            since: Instant::now(),
        }));
    }

    /// The mark stays until the next one or the end of the pass: nothing is read meanwhile.
    fn end(&self) {
        self.set(None);
    }

    fn rest(&self) {
        self.mark("");
    }

    fn mark(&self, text: &str) {
        if let Some(keepsake) = &*self.keepsake.lock().unwrap_or_else(PoisonError::into_inner) {
            keepsake.mark(text);
        }
    }

    /// Marks nothing more.
    pub(super) fn close(&self) {
        self.mark("");
        *self.keepsake.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn question(&self) -> Option<Question> {
        self.question.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, question: Option<Question>) {
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = question;
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
    /// How many are left alone whole.
    pub(super) resting: usize,
    /// What is left alone.
    pub(super) cases: Vec<Case>,
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
    pub(super) fn start(task: Task, keepsake: Option<Arc<Keepsake>>) -> io::Result<Self> {
        let (requests, asked) = channel();
        let (tell, events) = channel();
        let board = Board::new(keepsake);
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
        let opened = trust::check(path)
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
    quarantine: Quarantine,
}

/// Which GPUs are there, and when in this pass each is read.
#[derive(Debug, Default)]
struct Plan {
    cases: Cases,
    /// Of those that nothing is suspected of.
    first: Vec<u32>,
    /// Of those that come after all others, since something of them hung or crashed.
    late: Vec<u32>,
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
            quarantine: task.quarantine,
        }
    }

    fn read(&mut self, board: &Board, tell: &Sender<Event>) -> Result<(), Deaf> {
        let nobody: Arc<str> = "".into();
        self.sheet.now();
        let cases = self.quarantine.at(SystemTime::now());
        let mut done = Done {
            cases: cases.resting().cloned().collect(),
            ..Done::default()
        };
        board.begin("", None, DEVICES);
        let counted = self.fleet.count();
        board.end();
        let planned = counted.and_then(|count| self.plan(count, cases, board));
        let plan = planned.unwrap_or_else(|error| {
            self.sheet.fail(error);
            Plan::default()
        });
        self.begin(&plan.cases, board, tell)?;
        for index in &plan.first {
            self.gpu(*index, &plan.cases, false, board, &mut done, tell)?;
        }
        self.late(&plan, board, &mut done, tell)?;
        self.fleet.end();
        for topic in &mut self.topics {
            if plan.cases.rests("", None, topic.name()).is_none() {
                board.begin("", None, topic.name());
                topic.finish(&mut self.sheet);
                board.end();
            }
            if let Some(state) = topic.carry() {
                done.carried.insert(topic.name().to_owned(), state);
            }
        }
        board.rest();
        self.hand_on(&nobody, tell)?;
        done.fatal = self.sheet.fatal();
        tell.send(Event::Done(done)).map_err(|_| Deaf)
    }

    /// Looks for the GPUs that are read first.
    fn plan(&mut self, count: u32, cases: Cases, board: &Board) -> Result<Plan, NvmlError> {
        let mut plan = Plan {
            cases,
            ..Plan::default()
        };
        for index in 0..count {
            let uuid = self.uuid(index, &plan.cases);
            if plan.cases.rests_whole(&uuid, index).is_some() {
                self.fleet.rest(index, (!uuid.is_empty()).then_some(&*uuid));
                plan.first.push(index);
            } else if plan.cases.is_suspect_gpu(&uuid, index) {
                plan.late.push(index);
            } else {
                plan.first.push(index);
                self.look(index, &uuid, board)?;
            }
        }
        if plan.late.is_empty() {
            self.fleet.find_lost(&mut self.sheet);
        }
        Ok(plan)
    }

    /// As far as it is known before it is looked for.
    fn uuid(&mut self, index: u32, cases: &Cases) -> Arc<str> {
        let known = self.fleet.gpu(index).map(|gpu| Arc::clone(&gpu.uuid));
        known.unwrap_or_else(|| cases.uuid(index).unwrap_or_default().into())
    }

    fn look(&mut self, index: u32, uuid: &str, board: &Board) -> Result<(), NvmlError> {
        board.begin(uuid, Some(index), DEVICES);
        let looked = self.fleet.look(index, &mut self.sheet);
        board.end();
        looked
    }

    fn begin(&mut self, cases: &Cases, board: &Board, tell: &Sender<Event>) -> Result<(), Deaf> {
        let nobody: Arc<str> = "".into();
        let mut carried = BTreeMap::new();
        for topic in &mut self.topics {
            if cases.rests("", None, topic.name()).is_none() {
                board.begin("", None, topic.name());
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

    /// What is suspect, when all else is told: what hangs or crashes now costs none of it.
    fn late(&mut self, plan: &Plan, board: &Board, done: &mut Done, tell: &Sender<Event>) -> Result<(), Deaf> {
        let is_late = self.topics.iter().any(|topic| plan.cases.is_suspect(topic.name()));
        for index in plan.first.iter().filter(|_| is_late) {
            self.gpu(*index, &plan.cases, true, board, done, tell)?;
        }
        for index in &plan.late {
            let uuid = self.uuid(*index, &plan.cases);
            if let Err(error) = self.look(*index, &uuid, board) {
                self.sheet.fail(error);
                return Ok(());
            }
        }
        let mut rest = plan.late.clone();
        if !rest.is_empty() {
            rest.extend(plan.first.iter().filter(|index| self.fleet.gpu(**index).is_none()));
            self.fleet.find_lost(&mut self.sheet);
        }
        for index in &rest {
            for is_late in [false, true] {
                self.gpu(*index, &plan.cases, is_late, board, done, tell)?;
            }
        }
        Ok(())
    }

    /// Reads the topics of a GPU, those that are suspect of every GPU apart from the others.
    fn gpu(
        &mut self,
        index: u32,
        cases: &Cases,
        is_late: bool,
        board: &Board,
        done: &mut Done,
        tell: &Sender<Event>,
    ) -> Result<(), Deaf> {
        let Some(gpu) = self.fleet.gpu(index) else {
            return Ok(());
        };
        let uuid = Arc::clone(&gpu.uuid);
        let whole = cases.rests_whole(&uuid, index);
        if let Some(case) = whole.filter(|_| !is_late) {
            suspended(gpu, "all", case, &mut self.sheet);
        }
        for topic in &mut self.topics {
            if cases.is_suspect(topic.name()) != is_late {
                continue;
            }
            if let Some(case) = cases.rests(&uuid, Some(index), topic.name())
                && whole.is_none()
            {
                suspended(gpu, topic.name(), case, &mut self.sheet);
                continue;
            }
            self.sheet.now();
            board.begin(&uuid, Some(index), topic.name());
            topic.read(gpu, &mut self.sheet);
            board.end();
            let (points, skipped) = self.sheet.take();
            send(&uuid, points, skipped, tell)?;
        }
        let has_more = !is_late && self.topics.iter().any(|topic| cases.is_suspect(topic.name()));
        if !has_more {
            done.gpus += 1;
            done.lost += usize::from(gpu.findings.lost);
            done.resting += usize::from(gpu.findings.hangs);
            done.answered += usize::from(gpu.findings.answered);
            status::tell(gpu, &mut self.sheet);
        }
        self.hand_on(&uuid, tell)
    }

    fn hand_on(&mut self, gpu: &Arc<str>, tell: &Sender<Event>) -> Result<(), Deaf> {
        let (points, skipped) = self.sheet.take();
        send(gpu, points, skipped, tell)
    }
}

/// That something is left alone is told: its metrics are absent.
fn suspended(gpu: &Gpu, topic: &'static str, case: &Case, sheet: &mut Sheet) {
    sheet.skip(format!("{topic}.suspended"));
    let more = [
        (key::NVIDIA_TOPIC, topic.into()),
        (key::ERROR_TYPE, case.fault.as_str().into()),
    ];
    sheet.gauge(&nvidia_parts::READING_SUSPENDED, gpu, more, 1i64);
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
