//! Network interfaces of the host: `/proc/1/net/dev`, since `/proc/net` is that of the reader's network namespace.
//!
//! Interfaces that stand for hardware are shown. Bridges, bonds, VLANs, tunnels and the ends of containers' interfaces pass on
//! what these transfer, and a node has hundreds of them. Where none stands for hardware, as in a container of LXC or
//! systemd-nspawn, whose only interface is the end of such a pair, all but the loopback interface are shown.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::catalogue::{NETWORK_DROPPED, NETWORK_ERRORS, NETWORK_IO, NETWORK_PACKETS};
use crate::counters::{Devices, counter};
use crate::kept::{Kept, is_absent};
use crate::key::{NETWORK_INTERFACE_NAME, NETWORK_IO_DIRECTION, SYSTEM_DEVICE};
use crate::parse::{lines, whole, words};
use crate::readings::{Readings, Reason};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, CounterStarts, Timestamp};

/// Most interfaces that are shown.
const MAX_INTERFACES: usize = 64;
/// Limit in bytes of the file, which has some 130 for each interface.
const MAX_BYTES: usize = 1 << 20;
/// The loopback interface of each network namespace (drivers/net/loopback.c), which transfers nothing.
const LOOPBACK: &[u8] = b"lo";
/// Numbers of each direction: bytes, packets, errors, drops and four more.
const FIELDS: usize = 8;

#[derive(Debug)]
struct Interface {
    /// It stands for hardware, or nothing is known of it.
    is_hardware: bool,
    /// `receive`, `transmit`.
    directions: [Arc<Attributes>; 2],
    /// The same with the key that the conventions have for packets.
    packets: [Arc<Attributes>; 2],
}

/// The interfaces.
#[derive(Debug)]
pub(crate) struct Network {
    of_host: Kept,
    own: Kept,
    buffer: Vec<u8>,
    roots: HostRoots,
    devices: Devices<Interface>,
    starts: CounterStarts,
}

impl Network {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            of_host: Kept::new(roots.proc().join("1/net/dev")),
            own: Kept::new(roots.proc().join("net/dev")),
            buffer: Vec::new(),
            roots: roots.clone(),
            devices: Devices::new(),
            starts: CounterStarts::default(),
        }
    }

    /// Reads all of them.
    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        let time = Timestamp::now();
        let mut read = self.of_host.read_all(&mut self.buffer, MAX_BYTES).map(<[u8]>::len);
        // On the host itself, where processes of others are hidden (`hidepid`).
        if read.as_ref().is_err_and(is_absent) {
            read = self.own.read_all(&mut self.buffer, MAX_BYTES).map(<[u8]>::len);
        }
        let length = match read {
            Ok(length) => length,
            Err(error) => return out.failed(error),
        };
        // Two lines are titles.
        let lines = || lines(&self.buffer[..length]).skip(2);
        let mut has_hardware = false;
        for (name, _) in lines().filter_map(fields) {
            let known = self.devices.get(name, |shown| interface(&self.roots, name, shown), out);
            has_hardware |= known.is_some_and(|interface| interface.is_hardware);
        }
        let mut shown = 0;
        for line in lines() {
            let Some((name, fields)) = fields(line) else {
                out.skip(Reason::Malformed);
                continue;
            };
            let Some(interface) = self.devices.known(name) else {
                continue;
            };
            if has_hardware && !interface.is_hardware {
                continue;
            }
            shown += 1;
            if shown > MAX_INTERFACES {
                out.skip(Reason::TooMany);
                continue;
            }
            points(interface, &fields, &mut self.starts, time, out);
        }
        self.devices.forget_gone();
    }
}

/// What is known of an interface; the loopback interface is never shown.
fn interface(roots: &HostRoots, name: &[u8], shown: &str) -> Option<Interface> {
    if name == LOOPBACK {
        return None;
    }
    let folder = roots.sys().join("class/net").join(OsStr::from_bytes(name));
    let directions = |key| {
        ["receive", "transmit"].map(|direction| {
            let attributes = Attributes::new([(key, shown.into()), (NETWORK_IO_DIRECTION, direction.into())]);
            Arc::new(attributes)
        })
    };
    Some(Interface {
        is_hardware: !folder.exists() || folder.join("device").exists(),
        directions: directions(NETWORK_INTERFACE_NAME),
        packets: directions(SYSTEM_DEVICE),
    })
}

/// Name and numbers of a line: those received, those transmitted.
fn fields(line: &[u8]) -> Option<(&[u8], [[u64; FIELDS]; 2])> {
    // A name may have a colon itself (`eth0:1`); the numbers have none.
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii();
    // The kernel refuses such names (`dev_valid_name`, net/core/dev.c).
    if name.is_empty() || name.contains(&b'/') || name.starts_with(b".") {
        return None;
    }
    let mut words = words(&line[colon + 1..]);
    let mut fields = [[0; FIELDS]; 2];
    for field in fields.iter_mut().flatten() {
        *field = whole(words.next()?)?;
    }
    Some((name, fields))
}

fn points(
    interface: &Interface,
    fields: &[[u64; FIELDS]; 2],
    starts: &mut CounterStarts,
    time: Timestamp,
    out: &mut Readings<'_>,
) {
    for (direction, numbers) in fields.iter().enumerate() {
        let (named, packets) = (&interface.directions[direction], &interface.packets[direction]);
        for (instrument, attributes, number) in [
            (&NETWORK_IO, named, numbers[0]),
            (&NETWORK_PACKETS, packets, numbers[1]),
            (&NETWORK_ERRORS, named, numbers[2]),
            (&NETWORK_DROPPED, named, numbers[3]),
        ] {
            match i64::try_from(number) {
                Ok(number) => counter(starts, instrument, attributes, number, time, out),
                Err(_) => out.skip(Reason::OutOfRange),
            }
        }
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
