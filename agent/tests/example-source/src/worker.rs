//! `agent worker acme`: reads the devices. A vendor's library would be called here, and nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use accelscope_core::host::process::Processes;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key::{HW_ID, HW_NAME};
use accelscope_core::metric::{Attribute, Attributes, Instrument, Point, Timestamp, Value};
use accelscope_core::worker::{Reply, WireOutcome, WirePart, WirePoint, serve};

use super::catalogue;
use super::key::ACME_SERIAL;
use super::sampler::CLASS;

/// Environment variable with the host's root directory.
pub(super) const ROOT: &str = "ACME_ROOT";
/// Environment variable: whether the counter of jobs is read.
pub(super) const JOBS: &str = "ACME_JOBS";

/// Answers the agent until it closes the pipe.
pub(super) fn main() -> io::Result<()> {
    let root = std::env::var_os(ROOT).ok_or_else(|| io::Error::other("this command is for the agent itself"))?;
    let roots = HostRoots::new(root);
    let reads_jobs = std::env::var(JOBS).is_ok_and(|jobs| jobs == "true");
    serve(move |id| match reply(id, &roots, reads_jobs) {
        Ok(reply) => reply,
        Err(error) => Reply::empty(id, WireOutcome::Retry, format!("{CLASS} cannot be read: {error}")),
    })
}

fn reply(id: u64, roots: &HostRoots, reads_jobs: bool) -> io::Result<Reply<'static>> {
    // The driver counts since it was loaded; the boot is a lower bound of that. A counter without a start is rejected.
    let boot = Processes::new(roots).boot_time().ok();
    let (mut points, mut skipped) = (Vec::new(), BTreeMap::new());
    for entry in std::fs::read_dir(roots.path(CLASS))? {
        let device = entry?.path();
        // A bad device costs only itself.
        if read(&device, reads_jobs, boot, &mut points).is_none() {
            *skipped.entry("device.unreadable".to_owned()).or_default() += 1;
        }
    }
    Ok(Reply {
        parts: vec![WirePart {
            name: "".into(),
            points: points.iter().map(WirePoint::of).collect(),
        }],
        skipped,
        ..Reply::empty(id, WireOutcome::Sampled, String::new())
    })
}

/// The points of a device; a value that cannot be read gives none.
fn read(device: &Path, reads_jobs: bool, boot: Option<Timestamp>, points: &mut Vec<Point>) -> Option<()> {
    let name = device.file_name()?.to_str()?;
    let serial = sysfs::text(&device.join("serial"))?;
    let time = Timestamp::now();
    let id = || (HW_ID, serial.as_str().into());
    let mut add = |instrument: &'static Instrument, attributes: &[Attribute], value: Value| {
        points.push(Point {
            instrument,
            attributes: Arc::new(Attributes::new(attributes.iter().cloned())),
            owner: None,
            value,
            time,
            start: instrument.kind.is_cumulative().then_some(boot).flatten(),
        });
    };
    let info = [id(), (HW_NAME, name.into()), (ACME_SERIAL, serial.as_str().into())];
    add(&catalogue::DEVICE_INFO, &info, Value::Int(1));
    let number = |attribute: &str| sysfs::text(&device.join(attribute))?.parse::<u32>().ok();
    if let Some(percent) = number("load").filter(|percent| *percent <= 100) {
        add(&hw::NPU_UTILIZATION, &[id()], Value::Double(f64::from(percent) / 100.0));
    }
    if let Some(jobs) = number("jobs").filter(|_| reads_jobs) {
        add(&catalogue::JOBS, &[id()], Value::Int(jobs.into()));
    }
    Some(())
}
