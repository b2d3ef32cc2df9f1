//! Load averages and the time since the host's start.

use std::sync::Arc;
use std::time::Duration;

use crate::catalogue::{LOAD_1M, LOAD_5M, LOAD_15M, UPTIME};
use crate::kept::Kept;
use crate::parse::{decimal, words};
use crate::readings::{Readings, Reason};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Timestamp};

/// Bytes of a file of a few short numbers.
const LINE: usize = 128;
/// There are at most 4 Mi threads (`PID_MAX_LIMIT`, include/linux/threads.h).
const MOST_LOAD: f64 = 4_194_304.0;
/// A century in seconds.
const MOST_UPTIME: f64 = 100.0 * 366.0 * 86_400.0;

/// `/proc/loadavg` and `/proc/uptime`.
#[derive(Debug)]
pub(crate) struct Load {
    averages: Kept,
    uptime: Kept,
    none: Arc<Attributes>,
    /// By the first reading: later ones differ by what the clock was set meanwhile.
    boot: Option<Timestamp>,
}

impl Load {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            averages: Kept::new(roots.proc().join("loadavg")),
            uptime: Kept::new(roots.proc().join("uptime")),
            none: Arc::new(Attributes::empty()),
            boot: None,
        }
    }

    /// Reads the time since the start, and from it when that was.
    pub(crate) fn read_uptime(&mut self, out: &mut Readings<'_>) {
        let mut buffer = [0; LINE];
        let time = Timestamp::now();
        match self.uptime.read(&mut buffer) {
            Ok(text) => match words(text).next().and_then(decimal) {
                Some(seconds) if seconds <= MOST_UPTIME => {
                    let age = Duration::from_secs_f64(seconds).as_nanos();
                    let boot = u128::from(time.unix_nanos()).saturating_sub(age);
                    let boot = Timestamp::from_unix_nanos(u64::try_from(boot).unwrap_or_default());
                    self.boot.get_or_insert(boot);
                    out.gauge(&UPTIME, &self.none, seconds, time);
                }
                Some(_) => out.skip(Reason::OutOfRange),
                None => out.skip(Reason::Malformed),
            },
            Err(error) => out.failed(error),
        }
        // Where it is unknown, counters begin with the first reading.
        out.boot = Some(*self.boot.get_or_insert(time));
    }

    /// Reads the load averages.
    pub(crate) fn read_averages(&mut self, out: &mut Readings<'_>) {
        let mut buffer = [0; LINE];
        let time = Timestamp::now();
        let text = match self.averages.read(&mut buffer) {
            Ok(text) => text,
            Err(error) => return out.failed(error),
        };
        let mut words = words(text);
        for instrument in [&LOAD_1M, &LOAD_5M, &LOAD_15M] {
            match words.next().and_then(decimal) {
                Some(load) if load <= MOST_LOAD => out.gauge(instrument, &self.none, load, time),
                Some(_) => out.skip(Reason::OutOfRange),
                None => out.skip(Reason::Malformed),
            }
        }
    }
}
