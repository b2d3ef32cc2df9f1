//! Devices that come and go, and their counters.

use std::collections::HashMap;
use std::sync::Arc;

use crate::readings::{Readings, Reason};
use accelscope_core::metric::{Attributes, CounterStarts, Instrument, Timestamp, Value};

/// Devices of a kind by the kernel's names, which are bytes, each with what is made once of it.
#[derive(Debug)]
pub(crate) struct Devices<T> {
    known: HashMap<Box<[u8]>, Known<T>>,
    run: u64,
}

#[derive(Debug)]
struct Known<T> {
    /// The last run that it was in.
    seen: u64,
    /// `None` for one that is not shown.
    device: Option<T>,
    /// Its name, as it would be shown, is that of another.
    is_ambiguous: bool,
}

impl<T> Devices<T> {
    pub(crate) fn new() -> Self {
        Self {
            known: HashMap::new(),
            run: 0,
        }
    }

    /// What is known of a device, at first what `look` finds out, which is told the name as it is shown: bytes that are no UTF-8
    /// are replaced. Of two names that look the same then, the second is counted and not shown.
    pub(crate) fn get(
        &mut self,
        name: &[u8],
        look: impl FnOnce(&str) -> Option<T>,
        out: &mut Readings<'_>,
    ) -> Option<&T> {
        if !self.known.contains_key(name) {
            let shown = String::from_utf8_lossy(name);
            let is_ambiguous = shown.contains(char::REPLACEMENT_CHARACTER)
                && self.known.keys().any(|other| String::from_utf8_lossy(other) == shown);
            let device = if is_ambiguous { None } else { look(&shown) };
            let known = Known {
                seen: self.run,
                device,
                is_ambiguous,
            };
            self.known.insert(name.into(), known);
        }
        let known = self.known.get_mut(name)?;
        known.seen = self.run;
        if known.is_ambiguous {
            out.skip(Reason::Ambiguous);
        }
        known.device.as_ref()
    }

    /// What was found out of a device in this run.
    pub(crate) fn known(&self, name: &[u8]) -> Option<&T> {
        self.known.get(name)?.device.as_ref()
    }

    /// Ends a run: devices that were not in it are forgotten, and looked at anew if they come back.
    pub(crate) fn forget_gone(&mut self) {
        let run = self.run;
        self.known.retain(|_, known| known.seen == run);
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
