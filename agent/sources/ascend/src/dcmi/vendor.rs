//! The one thread that calls the library, and what the others see of it.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::open::{OpenError, open};
use super::query::{Avoided, Query};
use super::read::{Asker, Reading, read};

/// The question that is being put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) npu: u32,
    pub(super) chip: u32,
    pub(super) query: Query,
    since: Instant,
}

impl Question {
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Where the thread writes down what it asks: it cannot say so when it hangs.
#[derive(Debug, Clone, Default)]
pub(super) struct Board(Arc<Mutex<Option<Question>>>);

impl Board {
    pub(super) fn begin(&self, npu: u32, chip: u32, query: Query) {
        let since = Instant::now();
        self.set(Some(Question {
            npu,
            chip,
            query,
            since,
        }));
    }

    pub(super) fn end(&self) {
        self.set(None);
    }

    pub(super) fn question(&self) -> Option<Question> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, question: Option<Question>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = question;
    }
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Event {
    /// The library works.
    Opened {
        driver_version: Option<String>,
        chips: usize,
        silent_cards: u64,
    },
    /// It does not; the thread has ended.
    Failed(OpenError),
    /// A chip was read for that request.
    Chip(u64, Box<Reading>),
    /// All chips were.
    Done(u64),
}

/// The thread.
#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) board: Board,
    pub(super) events: Receiver<Event>,
    requests: Sender<u64>,
}

impl Vendor {
    /// Starts it. Its first event tells whether the library works.
    pub(super) fn start(file: Option<PathBuf>, avoided: Vec<Avoided>) -> io::Result<Self> {
        let (requests, asked) = channel();
        let (tell, events) = channel();
        let board = Board::default();
        let shared = board.clone();
        std::thread::Builder::new()
            .name("dcmi".to_owned())
            .spawn(move || run(file, &avoided, &shared, &asked, &tell))?;
        Ok(Self {
            board,
            events,
            requests,
        })
    }

    /// Has all chips read.
    pub(super) fn request(&self, id: u64) {
        // A thread that has ended has said so.
        self.requests.send(id).ok();
    }
}

fn run(file: Option<PathBuf>, avoided: &[Avoided], board: &Board, asked: &Receiver<u64>, tell: &Sender<Event>) {
    let mut driver = match open(file) {
        Ok(driver) => driver,
        Err(error) => {
            // Nobody listens any more only where the process ends.
            tell.send(Event::Failed(error)).ok();
            return;
        }
    };
    let opened = Event::Opened {
        driver_version: driver.version.take(),
        chips: driver.chips.len(),
        silent_cards: driver.silent_cards,
    };
    let mut heard = tell.send(opened).is_ok();
    while let (true, Ok(id)) = (heard, asked.recv()) {
        let asker = Asker {
            library: &driver.library,
            generation: driver.generation,
            avoided,
            board,
        };
        for known in &mut driver.chips {
            let reading = Box::new(read(&asker, known));
            heard = tell.send(Event::Chip(id, reading)).is_ok();
        }
        heard &= tell.send(Event::Done(id)).is_ok();
    }
}
