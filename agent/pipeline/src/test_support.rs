//! Instruments for the tests of this crate.

use accelscope_core::metric::{Instrument, Kind, Merge, Stability};

const fn instrument(name: &'static str, kind: Kind, owned: bool, merge: Merge) -> Instrument {
    Instrument {
        name,
        unit: "1",
        kind,
        description: "Made up.",
        attributes: &[],
        owned,
        merge,
        stability: Stability::Development,
    }
}

pub(crate) static ACTIVE: Instrument = instrument("test.active", Kind::Gauge, false, Merge::Sum);
pub(crate) static FRAMES: Instrument = instrument("test.frames", Kind::Counter, true, Merge::Sum);
pub(crate) static RATE: Instrument = instrument("test.rate", Kind::Gauge, true, Merge::Sum);
pub(crate) static UTILIZATION: Instrument = instrument("test.utilization", Kind::Gauge, true, Merge::Sum);
pub(crate) static QUEUE_MIN: Instrument = instrument("test.queue.min", Kind::Gauge, true, Merge::Min);
pub(crate) static QUEUE_MAX: Instrument = instrument("test.queue.max", Kind::Gauge, true, Merge::Max);
pub(crate) static WAITS: Instrument = instrument("test.waits", Kind::Histogram(&[1.0]), true, Merge::Sum);
