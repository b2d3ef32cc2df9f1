//! Metrics of one destination.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};

use super::classify::DROPS;
use super::queue::Usage;
use accelscope_core::metric::catalogue::agent as catalogue;
use accelscope_core::metric::key::{AGENT_OUTCOME, AGENT_REASON, DESTINATION};
use accelscope_core::telemetry::{self, label};

/// The instruments of one destination.
pub(super) struct Metrics {
    destination: KeyValue,
    points: Counter<u64>,
    dropped: Counter<u64>,
    bytes: Counter<u64>,
    requests: Counter<u64>,
    duration: Histogram<f64>,
    queue_bytes: UpDownCounter<i64>,
    queue_points: UpDownCounter<i64>,
    queue_limit: UpDownCounter<i64>,
    blocked: Gauge<i64>,
}

impl Metrics {
    pub(super) fn new(destination: &str, limit: u64) -> Self {
        let destination = label(DESTINATION, destination.to_owned());
        let metrics = Self {
            points: telemetry::counter(&catalogue::EXPORT_POINTS),
            dropped: telemetry::counter(&catalogue::EXPORT_DROPPED),
            bytes: telemetry::counter(&catalogue::EXPORT_BYTES),
            requests: telemetry::counter(&catalogue::EXPORT_REQUESTS),
            duration: telemetry::histogram(&catalogue::EXPORT_DURATION),
            queue_bytes: telemetry::up_down_counter(&catalogue::EXPORT_QUEUE_BYTES),
            queue_points: telemetry::up_down_counter(&catalogue::EXPORT_QUEUE_POINTS),
            queue_limit: telemetry::up_down_counter(&catalogue::EXPORT_QUEUE_LIMIT),
            blocked: telemetry::gauge(&catalogue::EXPORT_BLOCKED),
            destination,
        };
        let own = std::slice::from_ref(&metrics.destination);
        metrics.queue_limit.add(signed(limit), own);
        // A counter starts at a visible 0: otherwise the first loss is no increase to an alert.
        for outcome in ["queued", "sent", "dropped"] {
            metrics.count(outcome, 0);
        }
        let own_reasons = ["queue_full", "too_large", "partial_success", "undeliverable"];
        for reason in own_reasons.iter().chain(&DROPS) {
            metrics.dropped.add(0, &metrics.with(AGENT_REASON, reason));
        }
        for outcome in ["accepted", "partial", "retry", "refused", "rejected"] {
            metrics.requests.add(0, &metrics.with(AGENT_OUTCOME, outcome));
        }
        metrics.bytes.add(0, own);
        metrics.queue_bytes.add(0, own);
        metrics.queue_points.add(0, own);
        metrics
    }

    fn with(&self, key: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.destination.clone(), label(key, value)]
    }

    fn count(&self, outcome: &'static str, points: u64) {
        self.points.add(points, &self.with(AGENT_OUTCOME, outcome));
    }

    pub(super) fn queued(&self, points: u64) {
        self.count("queued", points);
    }

    pub(super) fn sent(&self, points: u64, bytes: u64) {
        self.count("sent", points);
        self.bytes.add(bytes, std::slice::from_ref(&self.destination));
    }

    pub(super) fn dropped(&self, points: u64, reason: &'static str) {
        self.count("dropped", points);
        self.dropped.add(points, &self.with(AGENT_REASON, reason));
    }

    pub(super) fn request(&self, outcome: &'static str, took: Duration) {
        self.requests.add(1, &self.with(AGENT_OUTCOME, outcome));
        self.duration
            .record(took.as_secs_f64(), std::slice::from_ref(&self.destination));
    }

    pub(super) fn blocked(&self, reason: &'static str, blocked: bool) {
        self.blocked
            .record(i64::from(blocked), &self.with(AGENT_REASON, reason));
    }

    /// The bound of the queue has changed.
    pub(super) fn limited(&self, before: u64, now: u64) {
        let own = std::slice::from_ref(&self.destination);
        self.queue_limit.add(signed(now) - signed(before), own);
    }

    pub(super) fn waiting(&self, before: Usage, now: Usage) {
        let own = std::slice::from_ref(&self.destination);
        self.queue_bytes
            .add(now.bytes.cast_signed() - before.bytes.cast_signed(), own);
        self.queue_points
            .add(now.points.cast_signed() - before.points.cast_signed(), own);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
