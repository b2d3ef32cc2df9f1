//! Receivers that answer by script, and records to send them.

#![allow(clippy::unwrap_used, reason = "a receiver that cannot start is a failed test")]

pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod proxy;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accelscope_core::metric::{Attributes, Resource, Series, Timestamp, Value, catalogue};
use accelscope_export::otlp::{
    Compression, Destination, Encoder, Exporter, Protocol, Record, RetryPolicy, Secret, TlsFiles, Totals,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};

/// A file of the certificates that the tests use.
pub(crate) fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/otlp_wire/pem")
        .join(name)
}

/// Time limit of every wait, and of a request to a receiver that is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Short retry delays, so that an outage in a test takes milliseconds.
pub(crate) fn retry_policy() -> RetryPolicy {
    RetryPolicy::new(
        Duration::from_millis(5),
        Duration::from_millis(40),
        Duration::from_millis(60),
    )
    .unwrap()
}

pub(crate) fn destination(name: &str, protocol: Protocol, address: &str) -> Destination {
    let path = if protocol == Protocol::Grpc { "" } else { "/v1/metrics" };
    Destination {
        name: name.to_owned(),
        endpoint: format!("http://{address}{path}").parse().unwrap(),
        protocol,
        headers: vec![("x-tenant".to_owned(), Secret::new("lab"))],
        headers_file: None,
        compression: Compression::Gzip,
        timeout: PATIENCE,
        queue_bytes: 16 * 1024 * 1024,
        tls: TlsFiles::default(),
        proxy: None,
    }
}

/// An exporter that runs until the test ends.
pub(crate) fn start(destinations: Vec<Destination>) -> Exporter {
    let exporter = Exporter::with_retry_policy(destinations, retry_policy()).unwrap();
    let running = exporter.clone();
    tokio::spawn(async move { running.run().await });
    exporter
}

/// A record of one point with the value `id`.
pub(crate) fn record(id: i64) -> Record {
    let series = Series {
        instrument: &catalogue::agent::MEMORY_USAGE,
        attributes: Arc::new(Attributes::empty()),
        value: Some(Value::Int(id)),
        time: Timestamp::from_unix_nanos(id as u64),
        start: None,
    };
    let mut records = Encoder::new(&Resource::default()).encode(&[series], Timestamp::now());
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// A record of points with these values.
pub(crate) fn record_of(ids: std::ops::RangeInclusive<i64>) -> Record {
    let series = |id: i64| Series {
        instrument: &catalogue::agent::MEMORY_USAGE,
        attributes: Arc::new(Attributes::empty()),
        value: Some(Value::Int(id)),
        time: Timestamp::from_unix_nanos(id as u64),
        start: None,
    };
    let series: Vec<_> = ids.map(series).collect();
    Encoder::new(&Resource::default())
        .encode(&series, Timestamp::now())
        .remove(0)
}

/// A record of one point with the value `id`, enlarged to about `size` bytes by its resource.
pub(crate) fn large_record(id: i64, size: usize) -> Record {
    let mut resource = Resource::default();
    for at in 0..size / 270 {
        resource.set(format!("filler.{at:05}"), "x".repeat(250));
    }
    let series = Series {
        instrument: &catalogue::agent::MEMORY_USAGE,
        attributes: Arc::new(Attributes::empty()),
        value: Some(Value::Int(id)),
        time: Timestamp::from_unix_nanos(id as u64),
        start: None,
    };
    Encoder::new(&resource).encode(&[series], Timestamp::now()).remove(0)
}

/// The values of all points of a request, in their order.
pub(crate) fn ids(request: &ExportMetricsServiceRequest) -> Vec<i64> {
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    let points = metrics.flat_map(|metric| match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        other => panic!("unexpected {other:?}"),
    });
    points
        .map(|point| match point.value.unwrap() {
            number_data_point::Value::AsInt(id) => id,
            number_data_point::Value::AsDouble(other) => panic!("unexpected {other}"),
        })
        .collect()
}

/// Waits until the condition holds; fails after [`PATIENCE`].
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the destination's queue is empty, and checks its counters.
pub(crate) async fn drained(exporter: &Exporter, destination: &str) -> Totals {
    until("the queue is empty", || {
        exporter.state(destination).unwrap().waiting.records == 0
    })
    .await;
    let Totals { queued, sent, dropped } = exporter.state(destination).unwrap().totals;
    assert_eq!(queued, sent + dropped);
    Totals { queued, sent, dropped }
}

/// Answers of a peer in turn; after the script it accepts.
pub(crate) struct Script<R> {
    replies: Arc<Mutex<VecDeque<R>>>,
}

impl<R> Clone for Script<R> {
    fn clone(&self) -> Self {
        Self {
            replies: Arc::clone(&self.replies),
        }
    }
}

impl<R> Script<R> {
    pub(crate) fn new(replies: impl IntoIterator<Item = R>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
        }
    }

    pub(crate) fn add(&self, reply: R) {
        self.replies.lock().unwrap().push_back(reply);
    }

    pub(crate) fn next(&self) -> Option<R> {
        self.replies.lock().unwrap().pop_front()
    }
}

/// Requests that a peer received.
pub(crate) struct Seen<T> {
    all: Arc<Mutex<Vec<T>>>,
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
        }
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { all: Arc::default() }
    }
}

impl<T> Seen<T> {
    pub(crate) fn add(&self, one: T) {
        self.all.lock().unwrap().push(one);
    }

    pub(crate) fn len(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    pub(crate) fn map<U>(&self, f: impl FnMut(&T) -> U) -> Vec<U> {
        self.all.lock().unwrap().iter().map(f).collect()
    }
}
