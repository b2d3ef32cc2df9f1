//! An OTLP receiver over HTTP that keeps every point.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use flate2::read::GzDecoder;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use prost::Message;

pub(crate) type Labels = BTreeMap<String, String>;

/// A data point, with what identifies its series.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) resource: Labels,
    pub(crate) name: String,
    pub(crate) attributes: Labels,
    pub(crate) time: u64,
    /// Where its counter began; 0 of a gauge.
    pub(crate) start: u64,
    /// The flag of a point without a recorded value.
    pub(crate) is_end: bool,
    /// A histogram's is its count.
    pub(crate) value: Option<f64>,
    /// Of a histogram.
    pub(crate) buckets: Option<(Vec<f64>, Vec<u64>, Option<f64>)>,
}

impl Pushed {
    /// Name and attributes.
    pub(crate) fn series(&self) -> String {
        format!("{}{:?}", self.name, self.attributes)
    }

    pub(crate) fn has(&self, attributes: &[(&str, &str)]) -> bool {
        attributes
            .iter()
            .all(|(key, value)| self.attributes.get(*key).is_some_and(|found| found == value))
    }
}

/// Listens until the test ends.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    points: Arc<Mutex<Vec<Pushed>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let points = Arc::<Mutex<Vec<Pushed>>>::default();
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/metrics", post(take))
            .layer(DefaultBodyLimit::max(64 << 20))
            .with_state(points.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { address, points }
    }

    /// Settings with which an agent pushes to it once a second.
    pub(crate) fn settings(&self) -> Vec<String> {
        vec![
            "otlp.enabled=true".to_owned(),
            format!("otlp.endpoint=http://{}", self.address),
            "otlp.protocol=http/protobuf".to_owned(),
            "otlp.interval=1s".to_owned(),
            // What is sent again arrives twice.
            "otlp.timeout=10m".to_owned(),
        ]
    }

    /// All points so far, in the order in which they arrived.
    pub(crate) fn points(&self) -> Vec<Pushed> {
        self.points.lock().unwrap().clone()
    }

    /// The different times of one metric's points so far, in nanoseconds since 1970.
    pub(crate) fn times(&self, name: &str) -> BTreeSet<u64> {
        let points = self.points.lock().unwrap();
        let of = points.iter().filter(|point| point.name == name);
        of.map(|point| point.time).collect()
    }

    /// Points of one metric so far.
    pub(crate) fn of(&self, name: &str) -> Vec<Pushed> {
        let mut points = self.points();
        points.retain(|point| point.name == name);
        points
    }
}

/// Fails unless the times of each series grow, by more than the resolution of Prometheus.
pub(crate) fn assert_ordered(points: &[Pushed]) {
    let mut newest: BTreeMap<String, &Pushed> = BTreeMap::new();
    for point in points {
        let before = newest.insert(format!("{:?} {}", point.resource, point.series()), point);
        let is_later = before.is_none_or(|before| before.time / 1_000_000 < point.time / 1_000_000);
        assert!(is_later, "{before:?} is followed by {point:?}");
    }
}

async fn take(State(points): State<Arc<Mutex<Vec<Pushed>>>>, headers: HeaderMap, body: Bytes) {
    let mut plain = body.to_vec();
    if headers.get("content-encoding").is_some_and(|value| value == "gzip") {
        plain.clear();
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
    }
    let request = ExportMetricsServiceRequest::decode(&*plain).unwrap();
    points.lock().unwrap().extend(pushed(request));
}

fn pushed(request: ExportMetricsServiceRequest) -> Vec<Pushed> {
    let mut points = Vec::new();
    for of_resource in request.resource_metrics {
        let resource = labels(&of_resource.resource.unwrap().attributes);
        let metrics = of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
        for metric in metrics {
            let blank = |attributes: &[KeyValue], time, start, flags: u32| Pushed {
                resource: resource.clone(),
                name: metric.name.clone(),
                attributes: labels(attributes),
                time,
                start,
                is_end: flags & 1 == 1,
                value: None,
                buckets: None,
            };
            match metric.data.clone().unwrap() {
                Data::Histogram(histogram) => points.extend(histogram.data_points.into_iter().map(|p| Pushed {
                    value: Some(p.count as f64),
                    buckets: Some((p.explicit_bounds, p.bucket_counts, p.sum)),
                    ..blank(&p.attributes, p.time_unix_nano, p.start_time_unix_nano, p.flags)
                })),
                Data::Gauge(opentelemetry_proto::tonic::metrics::v1::Gauge { data_points })
                | Data::Sum(opentelemetry_proto::tonic::metrics::v1::Sum { data_points, .. }) => {
                    points.extend(data_points.into_iter().map(|p| Pushed {
                        value: p.value.map(|value| match value {
                            number_data_point::Value::AsInt(number) => number as f64,
                            number_data_point::Value::AsDouble(number) => number,
                        }),
                        ..blank(&p.attributes, p.time_unix_nano, p.start_time_unix_nano, p.flags)
                    }));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    points
}

fn labels(attributes: &[KeyValue]) -> Labels {
    let text = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(truth) => truth.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}
