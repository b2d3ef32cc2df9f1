//! RAPL (Running Average Power Limit): counters of energy of Intel's and AMD's processors, by the kernel's powercap zones.

mod points;
mod zone;

pub(crate) use zone::{Condition, DENIED, DENIED_REMEDY, Found, Zone, find};

use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Point;

use crate::identity::Identity;
use crate::now::Now;
use crate::reason::{Reason, Skipped};

/// The zones of this machine.
#[derive(Debug)]
pub(crate) struct Rapl {
    roots: HostRoots,
    identity: Identity,
    /// Names in `/sys/class/powercap` when the zones were looked for.
    listed: Vec<String>,
    found: Found,
}

impl Rapl {
    pub(crate) fn new(roots: HostRoots, identity: Identity) -> Self {
        Self {
            roots,
            identity,
            listed: Vec::new(),
            found: Found::default(),
        }
    }

    /// Looks for zones that are new or gone; the others go on counting.
    pub(crate) fn look(&mut self, skipped: &mut Skipped) {
        let listed = zone::list(&self.roots);
        if listed == self.listed {
            return;
        }
        let mut found = zone::find_in(&self.roots, &self.identity, &listed);
        for zone in &mut found.zones {
            let known = self.found.zones.iter().position(|known| known.is(zone));
            if let Some(known) = known {
                zone.go_on(self.found.zones.swap_remove(known));
            }
        }
        if !found.zones.is_empty() {
            skipped.begin();
        }
        skipped.add_all(found.left_out, Reason::TooMany);
        (self.found, self.listed) = (found, listed);
    }

    /// Whether there are zones, readable or not.
    pub(crate) fn is_there(&self) -> bool {
        !self.found.zones.is_empty()
    }

    /// Longest time between two readings: half of that within which a counter may wrap twice.
    pub(crate) fn longest_rest(&self) -> Option<Duration> {
        let zones = self.found.zones.iter();
        Some(zones.filter_map(|zone| zone.meter().properties().unambiguous()).min()? / 2)
    }

    /// Reads all counters.
    pub(crate) fn read(&mut self, now: Now, skipped: &Skipped) {
        for zone in &mut self.found.zones {
            zone.read(now);
            if let Err(reason) = zone.state {
                skipped.add(reason);
            }
        }
    }

    /// Whether there is a zone that must not be read.
    pub(crate) fn is_denied(&self) -> bool {
        let mut zones = self.found.zones.iter();
        zones.any(|zone| zone.state == Err(Reason::NoPermission))
    }

    /// Whether there is a zone that has a count.
    pub(crate) fn is_counting(&self) -> bool {
        let mut zones = self.found.zones.iter();
        zones.any(|zone| zone.state.is_ok() && zone.meter().is_counting())
    }

    /// The points of the last reading. `meter` is the `hw.id` of a meter of the power of the whole machine.
    pub(crate) fn points(&mut self, now: Now, meter: Option<&str>, skipped: &Skipped) -> Vec<Point> {
        skipped.add_all(points::refuse_platforms(&mut self.found.zones), Reason::BeyondPhysics);
        points::points(&mut self.found.zones, now, meter)
    }
}
