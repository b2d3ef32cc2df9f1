//! Counters of a sampler by reason.

use opentelemetry::Value;
use opentelemetry::metrics::Counter;

use super::{counter, label};
use crate::metric::{Instrument, key};

/// Counter of what happened to one sampler, with the reason as an attribute.
#[derive(Debug)]
pub struct ReasonCounter {
    counter: Counter<u64>,
    sampler: &'static str,
}

impl ReasonCounter {
    /// Counter of `sampler` under the name of `instrument`, such as `agent.sampler.skipped`.
    pub fn new(instrument: &'static Instrument, sampler: &'static str) -> Self {
        let counter = counter(instrument);
        Self { counter, sampler }
    }

    /// Begins the counts of these reasons at a visible 0: otherwise the first occurrence of each is no increase to an alert.
    pub fn begin<R: Into<Value>>(&self, reasons: impl IntoIterator<Item = R>) {
        reasons.into_iter().for_each(|reason| self.add(0, reason));
    }

    /// Counts `number` for `reason`.
    pub fn add(&self, number: u64, reason: impl Into<Value>) {
        let labels = [
            label(key::AGENT_SAMPLER, self.sampler),
            label(key::AGENT_REASON, reason),
        ];
        self.counter.add(number, &labels);
    }
}
