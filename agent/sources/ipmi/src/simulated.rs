//! A BMC in memory: answers as the specification says, but for what a test bends.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::bmc::{Channel, Command, Kind, Received, Target};

/// The answer to a command: completion code and data. `None` for no answer.
type Bent = Box<dyn FnMut(&Asked) -> Option<Option<Vec<u8>>>>;

/// A command as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) netfn: u8,
    pub(crate) cmd: u8,
    pub(crate) data: Vec<u8>,
}

impl Asked {
    #[cfg(test)]
    pub(crate) fn is(&self, netfn: u8, cmd: u8) -> bool {
        (self.netfn, self.cmd) == (netfn, cmd)
    }
}

/// The BMC's state.
pub(crate) struct State {
    pub(crate) records: Vec<Vec<u8>>,
    /// Time of the last change of the records.
    pub(crate) changed: u32,
    /// Answers to Get Sensor Reading after the completion code, by sensor number.
    pub(crate) readings: BTreeMap<u8, Vec<u8>>,
    pub(crate) thresholds: BTreeMap<u8, Vec<u8>>,
    pub(crate) watts: Option<u16>,
    pub(crate) chassis: [u8; 3],
    pub(crate) guid: Option<[u8; 16]>,
    /// Longest answer to Get SDR.
    pub(crate) chunk: usize,
    /// Every command.
    pub(crate) asked: Vec<Asked>,
    /// How often the device was opened.
    pub(crate) opened: u32,
    reservation: u16,
    /// Asked first; `Some` is the answer.
    bent: Option<Bent>,
    /// Comes before each answer.
    pub(crate) noise: Vec<(Kind, i64)>,
}

/// A handle to the BMC, and a channel to it.
#[derive(Clone)]
pub(crate) struct Simulated {
    state: Rc<RefCell<State>>,
    queue: Rc<RefCell<VecDeque<Received>>>,
}

impl Simulated {
    pub(crate) fn new(records: Vec<Vec<u8>>) -> Self {
        let state = State {
            records,
            changed: 1,
            readings: BTreeMap::new(),
            thresholds: BTreeMap::new(),
            watts: Some(412),
            chassis: [0x61, 0x10, 0x40],
            guid: Some(std::array::from_fn(|at| at as u8)),
            chunk: 255,
            asked: Vec::new(),
            opened: 0,
            reservation: 0,
            bent: None,
            noise: Vec::new(),
        };
        Self {
            state: Rc::new(RefCell::new(state)),
            queue: Rc::default(),
        }
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.borrow_mut())
    }

    /// Lets a function answer first: `Some(None)` is silence.
    pub(crate) fn bend(&self, bent: impl FnMut(&Asked) -> Option<Option<Vec<u8>>> + 'static) {
        self.state.borrow_mut().bent = Some(Box::new(bent));
    }

    /// How often a command came.
    #[cfg(test)]
    pub(crate) fn count(&self, netfn: u8, cmd: u8) -> usize {
        self.change(|state| state.asked.iter().filter(|asked| asked.is(netfn, cmd)).count())
    }

    /// Opens the device: what was on its way to the one before is gone.
    pub(crate) fn open(&self) -> Self {
        self.state.borrow_mut().opened += 1;
        self.queue.borrow_mut().clear();
        self.clone()
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        let number = asked.data.first().copied().unwrap_or_default();
        let found = |data: Option<&Vec<u8>>| data.map_or(vec![0xcb], |data| [&[0], data.as_slice()].concat());
        match (asked.netfn, asked.cmd) {
            (0x06, 0x01) => vec![0, 0x20, 0x81, 0x02, 0x35, 0x02, 0xbf, 0xa2, 0x02, 0x00, 0x00, 0x01],
            (0x06, 0x37) => self.guid.map_or(vec![0xc1], |guid| [&[0], guid.as_slice()].concat()),
            (0x2c, 0x02) => match self.watts {
                Some(watts) => {
                    let mut data = vec![0; 19];
                    data[1] = 0xdc;
                    data[2..4].copy_from_slice(&watts.to_le_bytes());
                    data[18] = 0x40;
                    data
                }
                None => vec![0xc1],
            },
            (0x00, 0x01) => [&[0], self.chassis.as_slice()].concat(),
            (0x0a, 0x40) => vec![0, 0x51, 7, 0, 0x00, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x02],
            (0x0a, 0x20) => {
                let mut data = vec![0, 0x51];
                data.extend_from_slice(&(self.records.len() as u16).to_le_bytes());
                data.extend_from_slice(&[0, 0]);
                data.extend_from_slice(&self.changed.to_le_bytes());
                data.extend_from_slice(&[0; 5]);
                data
            }
            (0x0a, 0x22) => {
                self.reservation += 1;
                [&[0], self.reservation.to_le_bytes().as_slice()].concat()
            }
            (0x0a, 0x23) => self.record(&asked.data),
            (0x04, 0x2d) => found(self.readings.get(&number)),
            (0x04, 0x27) => found(self.thresholds.get(&number)),
            _ => vec![0xc1],
        }
    }

    fn record(&self, request: &[u8]) -> Vec<u8> {
        let [r0, r1, id0, id1, offset, count] = request else {
            return vec![0xc7];
        };
        let (offset, count) = (usize::from(*offset), usize::from(*count));
        if offset > 0 && u16::from_le_bytes([*r0, *r1]) != self.reservation {
            return vec![0xc5];
        }
        let at = usize::from(u16::from_le_bytes([*id0, *id1]));
        let Some(record) = self.records.get(at) else {
            return vec![0xcb];
        };
        if count > self.chunk {
            return vec![0xca];
        }
        let next = if at + 1 < self.records.len() {
            at as u16 + 1
        } else {
            0xffff
        };
        let mut record = record.clone();
        record[..2].copy_from_slice(&(at as u16).to_le_bytes());
        let part = &record[offset.min(record.len())..(offset + count).min(record.len())];
        [&[0], next.to_le_bytes().as_slice(), part].concat()
    }
}

impl Channel for Simulated {
    fn send(&mut self, id: i64, command: Command<'_>) -> io::Result<()> {
        let asked = Asked {
            target: command.target,
            netfn: command.netfn,
            cmd: command.cmd,
            data: command.data.to_vec(),
        };
        let mut state = self.state.borrow_mut();
        state.asked.push(asked.clone());
        let mut bent = state.bent.take();
        let answer = bent.as_mut().and_then(|bent| bent(&asked));
        state.bent = bent;
        let message = |kind, id, data| Received {
            kind,
            id,
            netfn: asked.netfn | 1,
            cmd: asked.cmd,
            data,
        };
        let mut queue = self.queue.borrow_mut();
        for (kind, other) in &state.noise {
            queue.push_back(message(*kind, *other, vec![0, 0xff, 0xff, 0xff]));
        }
        if let Some(data) = answer.unwrap_or_else(|| Some(state.answer(&asked))) {
            queue.push_back(message(Kind::Response, id, data));
        }
        Ok(())
    }

    fn receive(&mut self, _: Duration) -> io::Result<Option<Received>> {
        Ok(self.queue.borrow_mut().pop_front())
    }
}
