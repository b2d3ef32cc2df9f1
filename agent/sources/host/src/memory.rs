//! Memory and swap: `/proc/meminfo`.

use std::sync::Arc;

use crate::catalogue::{
    MEMORY_AVAILABLE, MEMORY_LIMIT, MEMORY_USAGE, MEMORY_UTILIZATION, PAGING_USAGE, PAGING_UTILIZATION,
};
use crate::kept::Kept;
use crate::key::{SYSTEM_MEMORY_STATE, SYSTEM_PAGING_STATE};
use crate::parse::{lines, whole, words};
use crate::readings::{Readings, Reason};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Timestamp};

/// Bytes that are read: what is used of the file is at its beginning.
const BEGINNING: usize = 2048;
/// Bytes beyond which a size is none: the address space of the largest CPUs has 57 bits.
const MOST: u64 = 1 << 57;

/// Lines that are used, in the order of the values.
const NAMES: [&[u8]; 7] = [
    b"MemTotal:",
    b"MemFree:",
    b"MemAvailable:",
    b"Buffers:",
    b"Cached:",
    b"SwapTotal:",
    b"SwapFree:",
];

/// `/proc/meminfo`.
#[derive(Debug)]
pub(crate) struct Memory {
    file: Kept,
    none: Arc<Attributes>,
    used: Arc<Attributes>,
    /// `free`, `buffers`, `cached`.
    states: [Arc<Attributes>; 3],
    swap_used: Arc<Attributes>,
    swap_free: Arc<Attributes>,
}

impl Memory {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        let memory = |state: &str| Arc::new(Attributes::new([(SYSTEM_MEMORY_STATE, state.into())]));
        let swap = |state: &str| Arc::new(Attributes::new([(SYSTEM_PAGING_STATE, state.into())]));
        Self {
            file: Kept::new(roots.proc().join("meminfo")),
            none: Arc::new(Attributes::empty()),
            used: memory("used"),
            states: ["free", "buffers", "cached"].map(memory),
            swap_used: swap("used"),
            swap_free: swap("free"),
        }
    }

    /// Reads all of it.
    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        let mut buffer = [0; BEGINNING];
        let time = Timestamp::now();
        let sizes = match self.file.read(&mut buffer) {
            Ok(text) => sizes(text, out),
            Err(error) => return out.failed(error),
        };
        let [total, free, available, buffers, cached, swap_total, swap_free] = sizes;
        self.memory(total, available, [free, buffers, cached], time, out);
        self.swap(swap_total, swap_free, time, out);
    }

    fn memory(
        &self,
        total: Option<u64>,
        available: Option<u64>,
        states: [Option<u64>; 3],
        time: Timestamp,
        out: &mut Readings<'_>,
    ) {
        let Some(total) = total.filter(|total| *total > 0) else {
            return out.skip(Reason::Malformed);
        };
        out.gauge(&MEMORY_LIMIT, &self.none, total as i64, time);
        // Where the file is made for a container, parts of it can be larger than all.
        let mut within = |size: Option<u64>| match size {
            Some(size) if size > total => {
                out.skip(Reason::OutOfRange);
                None
            }
            size => size,
        };
        let (available, states) = (within(available), states.map(&mut within));
        if let Some(available) = available {
            out.gauge(&MEMORY_AVAILABLE, &self.none, available as i64, time);
        }
        // Linux before 3.14 does not estimate what is available.
        let [free, buffers, cached] = states;
        let estimate = || free?.checked_add(buffers?)?.checked_add(cached?);
        let used = available.or_else(estimate).and_then(|rest| total.checked_sub(rest));
        let named = [(&self.used, used)].into_iter().chain(self.states.iter().zip(states));
        for (state, size) in named {
            if let Some(size) = size {
                out.gauge(&MEMORY_USAGE, state, size as i64, time);
                out.gauge(&MEMORY_UTILIZATION, state, size as f64 / total as f64, time);
            }
        }
    }

    fn swap(&self, total: Option<u64>, free: Option<u64>, time: Timestamp, out: &mut Readings<'_>) {
        let Some((total, free)) = total.filter(|total| *total > 0).zip(free) else {
            return;
        };
        let Some(used) = total.checked_sub(free) else {
            return out.skip(Reason::OutOfRange);
        };
        for (state, size) in [(&self.swap_used, used), (&self.swap_free, free)] {
            out.gauge(&PAGING_USAGE, state, size as i64, time);
            out.gauge(&PAGING_UTILIZATION, state, size as f64 / total as f64, time);
        }
    }
}

/// The sizes in bytes.
fn sizes(text: &[u8], out: &mut Readings<'_>) -> [Option<u64>; NAMES.len()] {
    let mut sizes = [None; NAMES.len()];
    let mut missing = NAMES.len();
    // The last line may be cut.
    let whole_lines = text.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
    for line in lines(&text[..whole_lines]) {
        let mut words = words(line);
        let name = words.next().unwrap_or_default();
        let Some(nth) = NAMES.iter().position(|known| *known == name) else {
            continue;
        };
        match words.next().and_then(whole).filter(|_| words.next() == Some(b"kB")) {
            Some(size) if size <= MOST / 1024 => sizes[nth] = Some(size * 1024),
            Some(_) => out.skip(Reason::OutOfRange),
            None => out.skip(Reason::Malformed),
        }
        missing -= 1;
        if missing == 0 {
            break;
        }
    }
    sizes
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
