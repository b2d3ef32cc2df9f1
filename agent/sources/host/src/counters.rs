//! Devices that come and go, and their counters.

use std::collections::HashMap;
use std::sync::Arc;

use crate::readings::Readings;
use accelscope_core::metric::{Attributes, CounterStarts, Instrument, Timestamp, Value};

/// Devices of a kind by the kernel's names, each with what is made once of it; `None` for one that is not shown.
#[derive(Debug)]
pub(crate) struct Devices<T> {
    known: HashMap<Box<str>, (u64, Option<T>)>,
    run: u64,
}

impl<T> Devices<T> {
    pub(crate) fn new() -> Self {
        Self {
            known: HashMap::new(),
            run: 0,
        }
    }

    /// What is known of a device, at first what `look` finds out.
    pub(crate) fn get(&mut self, name: &str, look: impl FnOnce() -> Option<T>) -> Option<&T> {
        if !self.known.contains_key(name) {
            self.known.insert(name.into(), (self.run, look()));
        }
        let (seen, known) = self.known.get_mut(name)?;
        *seen = self.run;
        known.as_ref()
    }

    /// Ends a run: devices that were not in it are forgotten, and looked at anew if they come back.
    pub(crate) fn forget_gone(&mut self) {
        let run = self.run;
        self.known.retain(|_, (seen, _)| *seen == run);
        self.run += 1;
    }
}

/// A point of a device's counter, which begins anew where it falls: the device was replaced, or the driver loaded again.
pub(crate) fn counter(
    starts: &mut CounterStarts,
    instrument: &'static Instrument,
    attributes: &Arc<Attributes>,
    value: impl Into<Value>,
    time: Timestamp,
    out: &mut Readings<'_>,
) {
    let mut point = out.counter(instrument, attributes, value, time);
    starts.set_start(&mut point);
    out.push(point);
}
