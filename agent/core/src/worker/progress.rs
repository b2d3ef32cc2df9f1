//! The call in progress, as seen from outside the thread that makes it: a thread that hangs cannot report it, nor can a
//! process that crashes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::handover::Handover;
use super::suspension::WorkUnit;

/// A call in progress.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) unit: WorkUnit,
    since: Instant,
}

impl Call {
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Shared by the thread that calls the library and the one that waits for it.
#[derive(Debug, Clone)]
pub struct Progress {
    call: Arc<Mutex<Option<Call>>>,
    /// Absent once a call hangs: what the thread does when that returns is no cause of a crash.
    handover: Arc<Mutex<Option<Arc<Handover>>>>,
}

impl Progress {
    pub(super) fn new(handover: Option<Arc<Handover>>) -> Self {
        Self {
            call: Arc::default(),
            handover: Arc::new(Mutex::new(handover)),
        }
    }

    /// Runs `call`, which calls the library for that task of that device.
    pub fn during<T>(&self, device: &str, index: Option<u32>, task: &str, call: impl FnOnce() -> T) -> T {
        let unit = WorkUnit {
            device: device.to_owned(),
            index,
            task: task.to_owned(),
        };
        self.mark(&serde_json::to_string(&unit).unwrap_or_default());
        let since = Instant::now();
        self.set(Some(Call { unit, since }));
        let result = call();
        // The mark stays until the next one or the end of the pass, which saves a system call.
        self.set(None);
        result
    }

    /// No call is made before the next pass.
    pub(super) fn rest(&self) {
        self.mark("");
    }

    /// Nothing is marked any more.
    pub(super) fn close(&self) {
        self.mark("");
        *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn call(&self) -> Option<Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn mark(&self, text: &str) {
        if let Some(handover) = &*self.handover.lock().unwrap_or_else(PoisonError::into_inner) {
            handover.mark(text);
        }
    }

    fn set(&self, call: Option<Call>) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}
