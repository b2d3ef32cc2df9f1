//! A PCI function that is an accelerator, and what the log has told of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::fault::Kind;
use crate::pci::Pci;
use accelscope_core::metric::Timestamp;

/// Time for which a device that has left the bus is kept with its counts.
const KEPT: Duration = Duration::from_mins(10);

/// An accelerator.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) pci: Pci,
    pub(crate) vendor: u16,
    /// Name of its driver, if one is bound.
    pub(crate) driver: Option<String>,
    /// `hw.id`.
    pub(crate) id: Arc<str>,
    /// UUID that NVIDIA's driver gives it.
    pub(crate) uuid: Option<String>,
    /// Whether the UUID is that from before the device had left the bus, and is to be read again.
    pub(crate) is_uuid_old: bool,
    pub(crate) hw_type: &'static str,
    pub(crate) counts: Counts,
    /// Since when it is not on the bus.
    pub(crate) gone_since: Option<Instant>,
}

/// The accelerators, by address.
pub(crate) type Devices = BTreeMap<Pci, Device>;

impl Device {
    /// Begins the counts of the faults that it may have, those on which people alert.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        let of_driver = Kind::of_driver(self.driver.as_deref().unwrap_or_default());
        for kind in of_driver.iter().copied().chain(Kind::OF_PCI) {
            self.counts.begin((kind, None), now);
        }
        if self.driver.as_deref() == Some("nvidia-nvswitch") {
            for code in Kind::SXIDS {
                self.counts.begin((Kind::Sxid, Some(code)), now);
            }
        }
    }

    /// Whether it is kept although it is not on the bus: as long as what was counted has not been emitted, and for a while
    /// after it has left.
    pub(crate) fn stays(&mut self, now: Instant) -> bool {
        let since = *self.gone_since.get_or_insert(now);
        self.counts.is_unemitted() || now.saturating_duration_since(since) < KEPT
    }

    /// Whether its XIDs are counted: also when the driver has given it up.
    pub(crate) fn has_xids(&self) -> bool {
        self.driver.as_deref() == Some("nvidia") || self.uuid.is_some()
    }
}
