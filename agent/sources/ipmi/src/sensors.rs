//! All sensors, read in turn within a budget.

use std::collections::BTreeSet;
use std::time::Duration;

use accelscope_core::metric::Point;

use crate::bmc::{Bmc, CallError, Channel};
use crate::identity::Identity;
use crate::sdr::{MAX_RECORDS, Record};
use crate::sensor::Sensor;
use crate::skipped::Skipped;

/// The sensors of a BMC.
#[derive(Debug, Default)]
pub(crate) struct Sensors {
    all: Vec<Sensor>,
    /// The one with which the next request begins.
    next: usize,
}

impl Sensors {
    /// Of two sensors with one key and name, the first is kept: they would be one series.
    pub(crate) fn new(records: &[Record], identity: &Identity, skipped: &mut Skipped) -> Self {
        let (mut all, mut ids) = (Vec::new(), BTreeSet::new());
        for record in records.iter().take(MAX_RECORDS) {
            if let Some(sensor) = Sensor::new(record, identity) {
                if ids.insert(identity.sensor(record)) {
                    all.push(sensor);
                } else {
                    skipped.add("sdr_duplicate");
                }
            }
        }
        Self { all, next: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Reads each once, as far as the time goes. After a failure of the BMC's the next request begins with the next one.
    pub(crate) fn read<C: Channel>(&mut self, bmc: &mut Bmc<C>, skipped: &mut Skipped) -> Result<(), CallError> {
        for _ in 0..self.all.len() {
            let at = self.next % self.all.len();
            let sensor = &mut self.all[at];
            if sensor.is_paused() {
                self.next = at + 1;
                continue;
            }
            match sensor.read(bmc, skipped) {
                Ok(()) => self.next = at + 1,
                Err(CallError::NoTime) => return Ok(()),
                Err(error) => {
                    self.next = at + 1;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Adds the points of all readings that are not older than `keep`. `has_total`: the server's own power is shown.
    pub(crate) fn points(&self, keep: Duration, has_total: bool, points: &mut Vec<Point>, skipped: &mut Skipped) {
        for sensor in &self.all {
            sensor.points(keep, has_total, points, skipped);
        }
    }
}
