//! Reads sensors on a thread that can be left behind.
//!
//! A read of a chip on I2C takes up to a tenth of a second, one of a disk that does not answer a minute, and a firmware's
//! method may not return at all. The sampler waits for a moment; what comes later is taken by the next run, and a device
//! that a pass does not get past is left alone until its read has returned.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::host::callers::{Call, Callers};

use crate::reason::{Reason, Skipped};
use crate::sensors::{Progress, Readings, Sensors};
use crate::unanswered::{Unanswered, remedy};

/// Time after which a device is taken for one that does not answer.
const HUNG_AFTER: Duration = Duration::from_secs(15);
/// How long a device is left alone once its read has returned.
const REST: Duration = Duration::from_mins(10);
/// Most devices that do not answer, a thread each; with more nothing is read.
const MOST_HUNG: usize = 4;

type Reading = Call<(Sensors, Readings)>;

/// Reads the sensors.
pub(crate) struct Apart {
    callers: Callers,
    make: Box<dyn Fn() -> Sensors + Send>,
    idle: Option<Sensors>,
    reading: Option<(Reading, Arc<Progress>)>,
    left_alone: Vec<LeftAlone>,
    /// There is no thread for another pass.
    is_exhausted: bool,
    hung_after: Duration,
}

/// A device that has not answered.
struct LeftAlone {
    path: PathBuf,
    reading: Option<Reading>,
    returned: Option<Instant>,
}

impl Apart {
    pub(crate) fn new(make: impl Fn() -> Sensors + Send + 'static) -> Self {
        Self {
            callers: Callers::new("sensors", MOST_HUNG + 1),
            make: Box::new(make),
            idle: None,
            reading: None,
            left_alone: Vec::new(),
            is_exhausted: false,
            hung_after: HUNG_AFTER,
        }
    }

    /// What a pass has read, if one is through within `patience`.
    pub(crate) fn read(&mut self, patience: Duration, skipped: &mut Skipped) -> Option<Readings> {
        let before = self.left_alone.len();
        self.left_alone.retain_mut(LeftAlone::is_to_stay);
        if self.left_alone.len() < before {
            // Those that come back are looked for.
            self.idle = None;
        }
        skipped.add_all(self.left_alone.len() as u64, Reason::Hung);
        if self.reading.is_none() {
            self.start();
        }
        let (reading, progress) = self.reading.take()?;
        if let Some((sensors, readings)) = reading.wait(Instant::now() + patience) {
            self.idle = Some(sensors);
            return Some(readings);
        }
        match progress.stuck_for(self.hung_after) {
            Some(path) => self.leave(path, reading, skipped),
            None => self.reading = Some((reading, progress)),
        }
        None
    }

    fn start(&mut self) {
        let thread = match self.callers.reserve() {
            Ok(thread) => thread,
            Err(error) => {
                // A thread that the system does not give now comes with a later run.
                let is_new = !self.is_exhausted && error.kind() == io::ErrorKind::ResourceBusy;
                if is_new {
                    self.is_exhausted = true;
                    let unanswered = self.unanswered();
                    tracing::warn!(
                        "no sensors are read, and RAPL goes on: {}: {}",
                        unanswered.why(),
                        unanswered.remedy()
                    );
                }
                return;
            }
        };
        self.is_exhausted = false;
        let mut sensors = self.idle.take().unwrap_or_else(&self.make);
        let left_alone: Vec<PathBuf> = self.left_alone.iter().map(|left| left.path.clone()).collect();
        let progress = Arc::<Progress>::default();
        let there = progress.clone();
        let call = thread.start(move || {
            let readings = sensors.read(&there, &left_alone);
            (sensors, readings)
        });
        self.reading = Some((call, progress));
    }

    /// The devices that are left alone.
    pub(crate) fn unanswered(&self) -> Unanswered {
        Unanswered {
            devices: self.left_alone.iter().map(|left| left.path.clone()).collect(),
            is_all: self.is_exhausted,
        }
    }

    fn leave(&mut self, path: PathBuf, reading: Reading, skipped: &mut Skipped) {
        skipped.begin();
        tracing::warn!(
            device = %path.display(),
            "a sensor does not answer; it is left alone until it does: {}",
            remedy([path.as_path()])
        );
        skipped.add(Reason::Hung);
        self.left_alone.push(LeftAlone {
            path,
            reading: Some(reading),
            returned: None,
        });
    }
}

#[cfg(test)]
impl Apart {
    /// A device is taken for one that does not answer after this time.
    pub(crate) fn hung_after(mut self, time: Duration) -> Self {
        self.hung_after = time;
        self
    }

    /// So many devices that do not answer are too many.
    pub(crate) fn with_threads(mut self, most: usize) -> Self {
        self.callers = Callers::new("sensors", most);
        self
    }
}

impl LeftAlone {
    fn is_to_stay(&mut self) -> bool {
        if self
            .reading
            .as_ref()
            .is_some_and(|reading| reading.wait(Instant::now()).is_some())
        {
            self.reading = None;
            self.returned = Some(Instant::now());
        }
        self.returned.is_none_or(|returned| returned.elapsed() < REST)
    }
}
