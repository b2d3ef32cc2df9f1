//! The records of a BMC, read one by one and kept until they change (IPMI 2.0, 33 and 35).

use std::collections::BTreeSet;

use super::record::{self, HEADER, Record, Skip};
use crate::bmc::{Bmc, CallError, Channel, Command, completion};
use crate::skipped::Skipped;

/// Most records that are read, and most sensors of them.
pub(crate) const MAX_RECORDS: usize = 1024;
/// Bytes that are asked for at once; fewer where the BMC cannot return so many, by its channel's message length.
const CHUNK: u8 = 32;
const LEAST_CHUNK: u8 = 8;
/// Most new reservations of one reading: another program may take it away each time.
const MAX_RESERVATIONS: u32 = 16;
/// Requests until records that could not all be read are tried again: ten minutes at the default period.
const AGAIN: u32 = 20;
/// Record ids of the first record, and after the last one.
const FIRST: u16 = 0x0000;
const LAST: u16 = 0xffff;

const STORAGE: u8 = 0x0a;
const SENSOR_EVENT: u8 = 0x04;

/// Where the records are. The commands have the same layout, but for what the first one tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Commands {
    netfn: u8,
    info: u8,
    reserve: u8,
    get: u8,
}

/// The SDR repository (33.9, 33.11, 33.12).
const REPOSITORY: Commands = Commands {
    netfn: STORAGE,
    info: 0x20,
    reserve: 0x22,
    get: 0x23,
};
/// The device's own records, of a controller without a repository (35.2 to 35.4).
const DEVICE: Commands = Commands {
    netfn: SENSOR_EVENT,
    info: 0x20,
    reserve: 0x22,
    get: 0x21,
};

/// What tells that the records are still the same: their number and the times of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    records: u16,
    added: u32,
    erased: u32,
}

/// The records.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    commands: Option<Commands>,
    stamp: Option<Stamp>,
    reading: Option<Reading>,
    /// Requests after which records that could not all be read are tried again; 0 if they could.
    again: u32,
}

/// A reading that goes on.
#[derive(Debug)]
struct Reading {
    next: u16,
    seen: BTreeSet<u16>,
    reservation: u16,
    reservations: u32,
    chunk: u8,
    sensors: Vec<Record>,
}

impl Repository {
    /// Begins to read again if the records are other ones than those read last.
    pub(crate) fn look<C: Channel>(&mut self, bmc: &mut Bmc<C>) -> Result<(), CallError> {
        let stamp = self.ask(bmc)?;
        let is_due = self.again == 1;
        self.again = self.again.saturating_sub(1);
        if self.stamp != Some(stamp) || is_due {
            self.stamp = Some(stamp);
            self.reading = Some(Reading::new());
        }
        Ok(())
    }

    /// Whether records are left to read.
    pub(crate) const fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    fn ask<C: Channel>(&mut self, bmc: &mut Bmc<C>) -> Result<Stamp, CallError> {
        let commands = self.commands.unwrap_or(REPOSITORY);
        match bmc.call(Command::new(commands.netfn, commands.info, &[])) {
            Ok(data) => {
                self.commands = Some(commands);
                stamp(commands, &data).ok_or(CallError::Malformed)
            }
            Err(CallError::Refused(code)) if completion::is_unsupported(code) && self.commands.is_none() => {
                let data = bmc.call(Command::new(DEVICE.netfn, DEVICE.info, &[]))?;
                self.commands = Some(DEVICE);
                stamp(DEVICE, &data).ok_or(CallError::Malformed)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the next record. Returns all sensors when that was the last one. An error of this record's reading only is
    /// counted; one that ends the request is returned, and the reading goes on where it was.
    pub(crate) fn step<C: Channel>(
        &mut self,
        bmc: &mut Bmc<C>,
        skipped: &mut Skipped,
    ) -> Result<Option<Vec<Record>>, CallError> {
        let (Some(reading), commands) = (&mut self.reading, self.commands.unwrap_or(REPOSITORY)) else {
            return Ok(None);
        };
        let is_over = match reading.record(bmc, commands, skipped) {
            Ok(is_over) => is_over,
            Err(error @ (CallError::NoTime | CallError::Lost(_))) => return Err(error),
            // Without this record's successor nothing follows.
            Err(error) => {
                self.again = AGAIN;
                skipped.error(&error);
                skipped.add("sdr_incomplete");
                true
            }
        };
        if !is_over {
            return Ok(None);
        }
        Ok(self.reading.take().map(|reading| reading.sensors))
    }
}

impl Reading {
    const fn new() -> Self {
        Self {
            next: FIRST,
            seen: BTreeSet::new(),
            reservation: 0,
            reservations: 0,
            chunk: CHUNK,
            sensors: Vec::new(),
        }
    }

    /// Reads a record; whether it was the last.
    fn record<C: Channel>(
        &mut self,
        bmc: &mut Bmc<C>,
        commands: Commands,
        skipped: &mut Skipped,
    ) -> Result<bool, CallError> {
        if self.reservations == 0 {
            self.reserve(bmc, commands)?;
        }
        let mut header = Vec::new();
        let successor = self.part(bmc, commands, HEADER, &mut header)?;
        if header.len() != HEADER {
            return Err(CallError::Malformed);
        }
        match self.sensors(bmc, commands, header) {
            Ok(Ok(sensors)) => self.sensors.extend(sensors),
            Ok(Err(skip)) => skip.reason().into_iter().for_each(|reason| skipped.add(reason)),
            // It loses itself: what comes after it is known.
            Err(error @ (CallError::Refused(_) | CallError::Malformed)) => {
                skipped.error(&error);
                skipped.add("sdr_unreadable");
            }
            Err(error) => return Err(error),
        }
        self.seen.insert(self.next);
        self.next = successor;
        if self.sensors.len() > MAX_RECORDS || (self.seen.len() >= MAX_RECORDS && successor != LAST) {
            self.sensors.truncate(MAX_RECORDS);
            skipped.add("sdr_too_many");
            return Ok(true);
        }
        // The first record has an id of its own besides 0.
        if successor != LAST && (successor == FIRST || self.seen.contains(&successor)) {
            skipped.add("sdr_loop");
            return Ok(true);
        }
        Ok(successor == LAST)
    }

    /// The sensors of the record with that header; of one that describes none no more is read.
    fn sensors<C: Channel>(
        &mut self,
        bmc: &mut Bmc<C>,
        commands: Commands,
        mut bytes: Vec<u8>,
    ) -> Result<Result<Vec<Record>, Skip>, CallError> {
        let length = HEADER + usize::from(bytes[4]);
        while record::is_sensor(bytes[3]) && bytes.len() < length {
            let before = bytes.len();
            self.part(bmc, commands, length - before, &mut bytes)?;
            // Nothing, or more than was asked for.
            if bytes.len() == before || bytes.len() > length {
                return Err(CallError::Malformed);
            }
        }
        Ok(record::parse(&bytes))
    }

    /// A BMC without reservations needs none.
    fn reserve<C: Channel>(&mut self, bmc: &mut Bmc<C>, commands: Commands) -> Result<(), CallError> {
        self.reservations += 1;
        match bmc.call(Command::new(commands.netfn, commands.reserve, &[])) {
            Ok(data) => {
                let id = data.first_chunk().ok_or(CallError::Malformed)?;
                self.reservation = u16::from_le_bytes(*id);
                Ok(())
            }
            Err(CallError::Refused(completion::INVALID_COMMAND)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Adds the next bytes of the record, and returns the id of its successor. A reservation that was taken away is made
    /// again, and a part that the BMC cannot return is asked for in smaller ones.
    fn part<C: Channel>(
        &mut self,
        bmc: &mut Bmc<C>,
        commands: Commands,
        left: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<u16, CallError> {
        let data = loop {
            match self.get(bmc, commands, left, bytes.len()) {
                Err(CallError::Refused(completion::RESERVATION)) if self.reservations < MAX_RESERVATIONS => {
                    self.reserve(bmc, commands)?;
                }
                Err(CallError::Refused(
                    completion::LENGTH
                    | completion::LENGTH_LIMIT
                    | completion::TOO_MANY_BYTES
                    | completion::UNSPECIFIED,
                )) if self.chunk > LEAST_CHUNK => self.chunk /= 2,
                other => break other?,
            }
        };
        let (successor, rest) = data.split_first_chunk().ok_or(CallError::Malformed)?;
        bytes.extend_from_slice(rest);
        Ok(u16::from_le_bytes(*successor))
    }

    /// Get SDR (33.12): reservation, record, offset, number of bytes.
    fn get<C: Channel>(
        &self,
        bmc: &mut Bmc<C>,
        commands: Commands,
        left: usize,
        offset: usize,
    ) -> Result<Vec<u8>, CallError> {
        let [reservation, record] = [self.reservation, self.next].map(u16::to_le_bytes);
        // A record has at most 260 bytes; one whose last part begins at the 256th is not read.
        let offset = u8::try_from(offset).map_err(|_| CallError::Malformed)?;
        let count = left.min(self.chunk.into()) as u8;
        let request = [reservation[0], reservation[1], record[0], record[1], offset, count];
        bmc.call(Command::new(commands.netfn, commands.get, &request))
    }
}

/// Of the repository: version, records, free bytes, times of the last addition and erasure, operations. Of the device's
/// records: number, flags, and where they change by themselves a time of that.
fn stamp(commands: Commands, data: &[u8]) -> Option<Stamp> {
    let word = |at: usize| Some(u32::from_le_bytes(*data.get(at..)?.first_chunk()?));
    if commands == DEVICE {
        return Some(Stamp {
            records: u16::from(*data.first()?),
            added: word(2).unwrap_or_default(),
            erased: 0,
        });
    }
    Some(Stamp {
        records: u16::from_le_bytes(*data.get(1..)?.first_chunk()?),
        added: word(5)?,
        erased: word(9)?,
    })
}
