//! Encodes series as OTLP's `ExportMetricsServiceRequest` without building its message types.

use std::borrow::Borrow;

use bytes::Bytes;
use prost::encoding::{double, fixed64, sfixed64};

use super::record::{MAX_RECORD_BYTES, Owners, Record};
use super::wire;
use accelscope_core::metric::{Histogram, Instrument, Kind, Resource, Series, Timestamp, Value};

/// Version of the semantic conventions that names and attributes follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Name of the instrumentation scope.
pub const SCOPE_NAME: &str = "accelscope";

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_RECORDED_VALUE: u64 = 1;
/// Upper bound of the keys and lengths of the messages around the metrics, in bytes.
const ENVELOPE: usize = 64;

/// Encodes collections of one resource. It keeps its buffers, so that in the steady state it allocates per record and not
/// per point.
#[derive(Debug)]
pub struct Encoder {
    /// Encoded `ResourceMetrics.resource`.
    resource: Vec<u8>,
    /// Encoded `ScopeMetrics.scope`.
    scope: Vec<u8>,
    /// Encoded `schema_url`, the same field in both messages.
    schema: Vec<u8>,
    limit: usize,
    order: Vec<u32>,
    /// Encoded name, description and unit of the current metric.
    header: Vec<u8>,
    point: Vec<u8>,
    points: Vec<u8>,
    metrics: Vec<u8>,
    count: u64,
}

impl Encoder {
    /// An encoder for the series of `resource`.
    pub fn new(resource: &Resource) -> Self {
        Self::with_limit(resource, MAX_RECORD_BYTES)
    }

    /// An encoder with another size limit of a record, in bytes.
    pub fn with_limit(resource: &Resource, limit: usize) -> Self {
        let mut attributes = Vec::new();
        for (key, value) in resource.iter() {
            wire::attribute(1, key, value, &mut attributes);
        }
        let mut scope = Vec::new();
        wire::text(1, SCOPE_NAME, &mut scope);
        wire::text(2, env!("CARGO_PKG_VERSION"), &mut scope);
        let field = |body: &[u8]| {
            let mut field = Vec::new();
            wire::delimited(1, body, &mut field);
            field
        };
        let mut schema = Vec::new();
        wire::text(3, SCHEMA_URL, &mut schema);
        Self {
            resource: field(&attributes),
            scope: field(&scope),
            schema,
            limit,
            order: Vec::new(),
            header: Vec::new(),
            point: Vec::new(),
            points: Vec::new(),
            metrics: Vec::new(),
            count: 0,
        }
    }

    /// Encodes one collection, made at `now`: metrics ordered by name, split into records by the size limit. A point that
    /// alone exceeds the limit gets a record of its own.
    ///
    /// An instrument has one metric, and one more after each end of a series: of a metric's points the Collector's
    /// Prometheus exporter takes none after the first without a value (`accumulate*` in
    /// `exporter/prometheusexporter/accumulator.go`, v0.159), so that an end is always the last one.
    ///
    /// A value that does not fit its instrument ([`Value::is_valid_for`]) is left out and logged: it is a bug, and a wrong
    /// number would be worse than none.
    pub fn encode<S: Borrow<Series>>(&mut self, series: &[S], now: Timestamp) -> Vec<Record> {
        let mut records = Vec::new();
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..series.len() as u32);
        let name = |at: u32| series[at as usize].borrow().instrument.name;
        order.sort_unstable_by(|a, b| name(*a).cmp(name(*b)).then(a.cmp(b)));
        for group in order.chunk_by(|a, b| name(*a) == name(*b)) {
            let instrument = series[group[0] as usize].borrow().instrument;
            self.begin_metric(instrument);
            for at in group {
                self.add(instrument, series[*at as usize].borrow(), now, &mut records);
            }
            self.end_metric(instrument);
        }
        self.end_record(now, &mut records);
        self.order = order;
        records
    }

    fn begin_metric(&mut self, instrument: &Instrument) {
        self.header.clear();
        wire::text(1, instrument.name, &mut self.header);
        wire::text(2, instrument.description, &mut self.header);
        wire::text(3, instrument.unit, &mut self.header);
    }

    fn add(&mut self, instrument: &Instrument, series: &Series, now: Timestamp, records: &mut Vec<Record>) {
        if let Some(value) = &series.value
            && !value.is_valid_for(instrument)
        {
            tracing::error!(
                metric = instrument.name,
                ?value,
                "value does not fit its metric and is left out; please report it"
            );
            return;
        }
        self.point.clear();
        encode_point(series, &mut self.point);
        let size = wire::delimited_len(self.point.len());
        let envelope = self.resource.len() + self.scope.len() + 2 * self.schema.len() + ENVELOPE;
        let full = envelope + self.metrics.len() + self.header.len() + self.points.len() + size > self.limit;
        if full && self.count > 0 {
            self.end_metric(instrument);
            self.end_record(now, records);
        }
        wire::delimited(1, &self.point, &mut self.points);
        self.count += 1;
        if series.value.is_none() {
            self.end_metric(instrument);
        }
    }

    fn end_metric(&mut self, instrument: &Instrument) {
        if self.points.is_empty() {
            return;
        }
        let (tag, cumulative, monotonic) = match instrument.kind {
            Kind::Gauge => (5, false, false),
            Kind::Counter => (7, true, true),
            Kind::UpDownCounter => (7, true, false),
            Kind::Histogram(_) => (9, true, false),
        };
        // Each of the two fields is one byte of key and one of value.
        let data = self.points.len() + 2 * usize::from(cumulative) + 2 * usize::from(monotonic);
        let buf = &mut self.metrics;
        wire::open(2, self.header.len() + wire::delimited_len(data), buf);
        buf.extend_from_slice(&self.header);
        wire::open(tag, data, buf);
        buf.append(&mut self.points);
        if cumulative {
            wire::number(2, CUMULATIVE, buf);
        }
        if monotonic {
            wire::number(3, 1, buf);
        }
    }

    fn end_record(&mut self, time: Timestamp, records: &mut Vec<Record>) {
        if self.metrics.is_empty() {
            return;
        }
        let scope_metrics = self.scope.len() + self.metrics.len() + self.schema.len();
        let resource_metrics = self.resource.len() + wire::delimited_len(scope_metrics) + self.schema.len();
        let mut bytes = Vec::with_capacity(wire::delimited_len(resource_metrics));
        wire::open(1, resource_metrics, &mut bytes);
        bytes.extend_from_slice(&self.resource);
        wire::open(2, scope_metrics, &mut bytes);
        bytes.extend_from_slice(&self.scope);
        bytes.append(&mut self.metrics);
        bytes.extend_from_slice(&self.schema);
        bytes.extend_from_slice(&self.schema);
        records.push(Record {
            bytes: Bytes::from(bytes),
            points: std::mem::take(&mut self.count),
            time,
            owners: Owners::default(),
        });
    }
}

/// Body of a `NumberDataPoint` or `HistogramDataPoint`; the fields of the times are the same in both.
///
/// The end of a histogram has all fields of one that counted nothing: receivers that make a series of each bucket, of the
/// sum and of the count end those that the point has.
fn encode_point(series: &Series, buf: &mut Vec<u8>) {
    let kind = series.instrument.kind;
    if let Some(start) = series.start.filter(|_| kind != Kind::Gauge) {
        // After the wall clock was set back; a receiver refuses a point that is older than its start.
        let start = start.min(series.time);
        fixed64::encode(2, &start.unix_nanos(), buf);
    }
    fixed64::encode(3, &series.time.unix_nanos(), buf);
    match (&series.value, kind) {
        (Some(Value::Double(double)), _) => double::encode(4, double, buf),
        (Some(Value::Int(int)), _) => sfixed64::encode(6, int, buf),
        (Some(Value::Histogram(histogram)), Kind::Histogram(bounds)) => encode_histogram(histogram, bounds, buf),
        (None, Kind::Histogram(bounds)) => {
            let empty = Histogram {
                count: 0,
                sum: 0.0,
                buckets: vec![0; bounds.len() + 1].into(),
            };
            encode_histogram(&empty, bounds, buf);
            wire::number(10, NO_RECORDED_VALUE, buf);
        }
        (None, _) => wire::number(8, NO_RECORDED_VALUE, buf),
        // Refused before, as any value that does not fit its instrument.
        (Some(Value::Histogram(_)), _) => {}
    }
    let tag = if matches!(kind, Kind::Histogram(_)) { 9 } else { 7 };
    for (key, value) in series.attributes.iter() {
        wire::attribute(tag, key, value, buf);
    }
}

fn encode_histogram(histogram: &Histogram, bounds: &[f64], buf: &mut Vec<u8>) {
    if histogram.count > 0 {
        fixed64::encode(4, &histogram.count, buf);
    }
    // Has presence: without it receivers make no series of the sum.
    double::encode(5, &histogram.sum, buf);
    fixed64::encode_packed(6, &histogram.buckets, buf);
    double::encode_packed(7, bounds, buf);
}
