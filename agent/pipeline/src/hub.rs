//! The one place where samplers' runs become series that exporters read.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Limits, Store};
use accelscope_core::metric::MetricsSource;
use accelscope_core::metric::{Batch, Part, Resource, Series, Timestamp, catalogue};
use accelscope_core::telemetry::{self, OwnMetrics};

/// Sees each series that changed or ended, when it does.
pub type Observer = Box<dyn FnMut(&Series) + Send>;

/// The series, and whatever is needed to bring them up to date.
pub struct Hub {
    shown: Mutex<Shown>,
    own: OwnMetrics,
    resource: Resource,
    series_live: opentelemetry::metrics::UpDownCounter<i64>,
}

struct Shown {
    store: Store,
    observer: Option<Observer>,
    counted: i64,
}

impl Hub {
    /// With `collecting`, someone calls [`collect`](Self::collect) regularly.
    pub fn new(
        own: OwnMetrics,
        resource: Resource,
        limits: Limits,
        collecting: bool,
        observer: Option<Observer>,
    ) -> Self {
        Self {
            shown: Mutex::new(Shown {
                store: Store::new(limits, collecting),
                observer,
                counted: 0,
            }),
            own,
            resource,
            series_live: telemetry::up_down_counter(&catalogue::agent::SERIES_LIVE),
        }
    }

    /// What changed since the last call, the agent's own metrics included.
    pub fn collect(&self) -> Vec<Series> {
        self.refresh_own();
        self.lock().store.collect()
    }

    /// All that is live, without the agent's own metrics being brought up to date.
    pub fn live(&self) -> Vec<Series> {
        self.lock().store.live().cloned().collect()
    }

    /// Brings the agent's own metrics up to date.
    pub fn refresh_own(&self) {
        {
            let mut shown = self.lock();
            let count = i64::try_from(shown.store.len()).unwrap_or(i64::MAX);
            self.series_live.add(count - shown.counted, &[]);
            shown.counted = count;
        }
        self.take(self.own.batch());
    }

    pub(super) fn take(&self, batch: Batch) {
        let Shown { store, observer, .. } = &mut *self.lock();
        store.apply(&batch.part, batch.points, Timestamp::now(), &mut |series| {
            notify(observer, series);
        });
    }

    pub(super) fn end(&self, gone: impl Fn(&Part) -> bool) {
        let Shown { store, observer, .. } = &mut *self.lock();
        store.end(gone, Timestamp::now(), &mut |series| notify(observer, series));
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notify(observer: &mut Option<Observer>, series: &Series) {
    if let Some(observer) = observer {
        observer(series);
    }
}

impl MetricsSource for Hub {
    fn series(&self) -> Vec<Series> {
        self.refresh_own();
        self.live()
    }

    fn resource(&self) -> &Resource {
        &self.resource
    }
}
