//! Bytes that the pipeline takes for a series, by an estimate that a test compares with what the allocator gives.

use accelscope_core::metric::{Attributes, Instrument, Kind};

/// Of the store, for each series: its entry with its key, in a table that is at least seven sixteenths full.
const STORED: usize = 400;

/// Of aggregation, for each series whose points have an owner: the last reading, with the attributes that it was read with.
const READ: usize = 750;

/// Of aggregation, for the total of a counter.
pub(crate) const TOTAL: usize = 250;

/// Of a source that is kept although its newest batch lacks it, without the attributes of its series.
pub(crate) const SOURCE: usize = READ;

/// An end, or the last value before it, that waits for a collection, without its attributes.
pub(crate) const END: usize = 150;

/// A live series with all that is kept for it.
pub(crate) fn of_series(instrument: &Instrument, attributes: &Attributes) -> usize {
    let state = match (instrument.owned, instrument.kind.is_cumulative()) {
        (false, _) => 0,
        (true, false) => READ,
        (true, true) => READ + TOTAL,
    };
    STORED + state + attributes.size() + buckets(instrument)
}

/// A histogram's buckets: in the store, and in the last reading and the total where there are those.
fn buckets(instrument: &Instrument) -> usize {
    let Kind::Histogram(bounds) = instrument.kind else {
        return 0;
    };
    let one = 64 + 8 * (bounds.len() + 1);
    if instrument.owned { 2 * one } else { one }
}
