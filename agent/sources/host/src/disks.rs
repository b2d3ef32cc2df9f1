//! Block devices: `/proc/diskstats` (Documentation/admin-guide/iostats.rst).
//!
//! Partitions are contained in their disks and not shown. Neither are memory (`ram`, `zram`), loop devices, whose bytes are
//! those of the disk below, and the paths of multipath NVMe, which are hidden.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::catalogue::{DISK_IO, DISK_IO_TIME, DISK_MERGED, DISK_OPERATION_TIME, DISK_OPERATIONS};
use crate::counters::{Devices, counter};
use crate::kept::Kept;
use crate::key::{DISK_IO_DIRECTION, SYSTEM_DEVICE};
use crate::parse::{lines, whole, words};
use crate::readings::{Readings, Reason};
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::{Attributes, CounterStarts, Timestamp};

/// The unit of the file, whatever the device's is.
const SECTOR: u64 = 512;
/// Most devices that are shown.
const MAX_DISKS: usize = 256;
/// Limit in bytes of the file, which has some 100 for each device and partition.
const MAX_BYTES: usize = 1 << 20;
/// Beginnings of names of devices that are not shown, each followed by a number.
const MEMORY_OR_LOOP: [&str; 4] = ["ram", "zram", "loop", "fd"];
/// Numbers of a line that are used: since Linux 2.6.25 partitions have all of them too.
const FIELDS: usize = 10;

#[derive(Debug)]
struct Disk {
    device: Arc<Attributes>,
    /// `read`, `write`.
    directions: [Arc<Attributes>; 2],
}

/// The devices.
#[derive(Debug)]
pub(crate) struct Disks {
    file: Kept,
    buffer: Vec<u8>,
    roots: HostRoots,
    devices: Devices<Disk>,
    starts: CounterStarts,
}

impl Disks {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            file: Kept::new(roots.proc().join("diskstats")),
            buffer: Vec::new(),
            roots: roots.clone(),
            devices: Devices::new(),
            starts: CounterStarts::default(),
        }
    }

    /// Reads all of them.
    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        let time = Timestamp::now();
        let text = match self.file.read_all(&mut self.buffer, MAX_BYTES) {
            Ok(text) => text,
            Err(error) => return out.failed(error),
        };
        let mut shown = 0;
        for line in lines(text) {
            let Some((name, fields)) = fields(line) else {
                out.skip(Reason::Malformed);
                continue;
            };
            let Some(disk) = self.devices.get(name, |shown| disk(&self.roots, name, shown), out) else {
                continue;
            };
            shown += 1;
            if shown > MAX_DISKS {
                out.skip(Reason::TooMany);
                continue;
            }
            points(disk, &fields, &mut self.starts, time, out);
        }
        self.devices.forget_gone();
    }
}

/// The device's attributes, if it is shown.
fn disk(roots: &HostRoots, name: &[u8], shown: &str) -> Option<Disk> {
    let kind = shown.trim_end_matches(|c: char| c.is_ascii_digit());
    if kind != shown && MEMORY_OR_LOOP.contains(&kind) {
        return None;
    }
    // sysfs writes a name's slash, as in `cciss/c0d0`, as an exclamation mark.
    let name: Vec<u8> = name
        .iter()
        .map(|byte| if *byte == b'/' { b'!' } else { *byte })
        .collect();
    let folder = roots.sys().join("class/block").join(OsStr::from_bytes(&name));
    if folder.join("partition").exists() || sysfs::text(&folder.join("hidden")).is_some_and(|hidden| hidden == "1") {
        return None;
    }
    let device = Attributes::new([(SYSTEM_DEVICE, shown.into())]);
    let directions = ["read", "write"].map(|direction| device.with([(DISK_IO_DIRECTION, direction.into())]).into());
    Some(Disk {
        device: device.into(),
        directions,
    })
}

/// Name and numbers of a line.
fn fields(line: &[u8]) -> Option<(&[u8], [u64; FIELDS])> {
    let mut words = words(line).skip(2);
    let name = words.next()?;
    let mut fields = [0; FIELDS];
    for field in &mut fields {
        *field = whole(words.next()?)?;
    }
    Some((name, fields))
}

fn points(disk: &Disk, fields: &[u64; FIELDS], starts: &mut CounterStarts, time: Timestamp, out: &mut Readings<'_>) {
    let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
    // Those of reading, those of writing, those under way, those of both.
    let (directions, rest) = fields.split_at(8);
    for (attributes, numbers) in disk.directions.iter().zip(directions.chunks_exact(4)) {
        let [operations, merged, sectors, milliseconds] = [numbers[0], numbers[1], numbers[2], numbers[3]];
        for (instrument, number) in [
            (&DISK_OPERATIONS, Some(operations)),
            (&DISK_MERGED, Some(merged)),
            (&DISK_IO, sectors.checked_mul(SECTOR)),
        ] {
            match number.and_then(|number| i64::try_from(number).ok()) {
                Some(number) => counter(starts, instrument, attributes, number, time, out),
                None => out.skip(Reason::OutOfRange),
            }
        }
        counter(
            starts,
            &DISK_OPERATION_TIME,
            attributes,
            seconds(milliseconds),
            time,
            out,
        );
    }
    counter(starts, &DISK_IO_TIME, &disk.device, seconds(rest[1]), time, out);
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
