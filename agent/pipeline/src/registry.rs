//! The series of all samplers, where exporters read them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pulse::{Pulse, Stall};
use crate::{Limits, Observer, Store};
use accelscope_core::budget::{Budget, count_forgotten};
use accelscope_core::metric::MetricsSource;
use accelscope_core::metric::{Batch, Collected, Part, Resource, Series, Timestamp, catalogue};
use accelscope_core::telemetry::{self, OwnMetrics};

/// The newest state of every series, shared by the pipeline and the exporters; the agent's own metrics included.
pub struct SeriesRegistry {
    state: Mutex<State>,
    own: OwnMetrics,
    resource: Resource,
    budget: Budget,
    pulse: Pulse,
    stuck: opentelemetry::metrics::Gauge<f64>,
    series_live: opentelemetry::metrics::UpDownCounter<i64>,
}

struct State {
    store: Store,
    /// What was added to `series_live`.
    counted: i64,
}

impl SeriesRegistry {
    /// Within this budget. With `collecting`, [`collect`](Self::collect) is called regularly.
    pub fn new(
        budget: &Budget,
        own: OwnMetrics,
        resource: Resource,
        limits: Limits,
        collecting: bool,
        observer: Option<Observer>,
    ) -> Self {
        // The counter is there before anything is forgotten.
        count_forgotten("counter", 0);
        Self {
            state: Mutex::new(State {
                store: Store::within(budget, limits, collecting, observer),
                counted: 0,
            }),
            own,
            resource,
            budget: budget.clone(),
            pulse: Pulse::default(),
            stuck: telemetry::gauge_f64(&catalogue::agent::PIPELINE_STUCK),
            series_live: telemetry::up_down_counter(&catalogue::agent::SERIES_LIVE),
        }
    }

    /// Where the pipeline says what it is at.
    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Whether the pipeline does not go on. Then its series end, until it does, and the log says so once.
    pub fn stall(&self) -> Option<Stall> {
        if let Some(stall) = self.pulse.became_stalled() {
            tracing::error!(
                "the processing of readings does not go on: it is {stall}; all series end until it does. See what hangs (a file \
                 system, /proc), or restart the agent"
            );
            // Not where it hangs with the series in hand.
            if let Ok(mut state) = self.state.try_lock() {
                state
                    .store
                    .end(|part| part.sampler != telemetry::SCOPE, Timestamp::now());
            }
        }
        self.pulse.stall()
    }

    /// What its series, and all that is kept for them, may take.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What changed since the last call, the agent's own metrics included.
    pub fn collect(&self) -> Vec<Collected> {
        self.refresh_own();
        self.lock().store.collect()
    }

    /// The end of every series, and before it what changed since the last collection.
    pub fn collect_ends(&self) -> Vec<Collected> {
        let store = &mut self.lock().store;
        store.end(|_| true, Timestamp::now());
        store.collect()
    }

    /// All live series, without an update of the agent's own metrics.
    pub fn live(&self) -> Vec<Series> {
        self.lock().store.live().cloned().collect()
    }

    /// Updates the agent's own metrics.
    pub fn refresh_own(&self) {
        let stall = self.stall();
        let stuck = stall.map_or(0.0, |stall| stall.since.elapsed().as_secs_f64());
        self.stuck.record(stuck, &[]);
        {
            let mut state = self.lock();
            let count = i64::try_from(state.store.live().len()).unwrap_or(i64::MAX);
            self.series_live.add(count - state.counted, &[]);
            state.counted = count;
        }
        self.budget.record();
        self.apply(vec![self.own.batch()], |_| false, Timestamp::now());
    }

    /// Takes the newest points, with all their attributes, of parts that were read together; ends the series of the others
    /// for which `gone` is true.
    pub(super) fn apply(&self, batches: Vec<Batch>, gone: impl Fn(&Part) -> bool, time: Timestamp) {
        self.lock().store.apply(batches, gone, time);
    }

    /// Ends the series of the parts for which `gone` is true.
    pub(super) fn end(&self, gone: impl Fn(&Part) -> bool) {
        self.lock().store.end(gone, Timestamp::now());
    }

    /// As [`collect`](Self::collect), without the agent's own metrics.
    #[cfg(test)]
    pub(super) fn collect_measured(&self) -> Vec<Collected> {
        self.lock().store.collect()
    }

    /// How many series, ends, counters of overflow series and owners are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> [usize; 5] {
        let store = &self.lock().store;
        let ((pending, remembered), (counters, owners)) = (store.kept_ends(), store.kept_of_overflow());
        [store.live().len(), pending, remembered, counters, owners]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SeriesRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SeriesRegistry").finish_non_exhaustive()
    }
}

impl MetricsSource for SeriesRegistry {
    fn series(&self) -> Vec<Series> {
        self.refresh_own();
        self.live()
    }

    fn resource(&self) -> &Resource {
        &self.resource
    }
}
