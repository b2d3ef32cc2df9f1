//! The agent's own metrics, recorded with the `opentelemetry` API under the catalogue's names.
//!
//! They go through the same pipeline as all others: [`OwnMetrics`] hands what the SDK aggregated on as a batch. Recorders
//! made before [`OwnMetrics::install`] record nothing, which is what a library user who does not install it gets.

mod bridge;
mod reasons;
mod usage;

pub use bridge::OwnMetrics;
pub use reasons::ReasonCounter;
pub use usage::Build;

use std::sync::OnceLock;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};
use opentelemetry::{KeyValue, global};

use crate::metric::{Instrument, Kind};

/// Name of the agent's own instrumentation scope.
pub const SCOPE: &str = "accelscope";

fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(|| global::meter(SCOPE))
}

macro_rules! recorder {
    ($(#[$doc:meta])* $name:ident -> $kind:ident<$number:ty>, $builder:ident) => {
        $(#[$doc])*
        pub fn $name(instrument: &'static Instrument) -> $kind<$number> {
            meter().$builder(instrument.name).with_unit(instrument.unit).with_description(instrument.description).build()
        }
    };
}

recorder!(/// A counter of whole numbers.
    counter -> Counter<u64>, u64_counter);
recorder!(/// A gauge of whole numbers.
    gauge -> Gauge<i64>, i64_gauge);
recorder!(/// A gauge of fractions.
    gauge_f64 -> Gauge<f64>, f64_gauge);
recorder!(/// An up-down counter.
    up_down_counter -> UpDownCounter<i64>, i64_up_down_counter);

/// A histogram with the catalogue's bounds.
pub fn histogram(instrument: &'static Instrument) -> Histogram<f64> {
    let bounds = match instrument.kind {
        Kind::Histogram(bounds) => bounds.to_vec(),
        _ => Vec::new(),
    };
    meter()
        .f64_histogram(instrument.name)
        .with_unit(instrument.unit)
        .with_description(instrument.description)
        .with_boundaries(bounds)
        .build()
}

/// An attribute of a recording.
pub fn label(key: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(key, value)
}
