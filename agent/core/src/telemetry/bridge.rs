//! From the OpenTelemetry SDK's aggregation to a batch.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality};

use super::usage::{Build, Usage};
use crate::metric::{
    Attribute, AttributeValue, Attributes, Batch, Histogram, Instrument, Part, Point, Timestamp, Value, catalogue, key,
};

/// The agent's own metrics, aggregated in this process by the OpenTelemetry SDK.
#[derive(Debug)]
pub struct OwnMetrics {
    /// The reader has only a weak reference.
    _provider: SdkMeterProvider,
    reader: SharedReader,
    usage: Usage,
}

impl OwnMetrics {
    /// Makes it the process's global meter provider.
    pub fn install(build: Build) -> Self {
        let reader = SharedReader::default();
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).build();
        global::set_meter_provider(provider.clone());
        Self {
            _provider: provider,
            reader,
            usage: Usage::new(build),
        }
    }

    /// All metrics as of now. Takes no time worth mentioning: nothing outside this process is read but its own usage.
    pub fn batch(&self) -> Batch {
        let mut points = self.reader.points();
        self.usage.push(&mut points);
        Batch {
            part: Part::whole(super::SCOPE),
            points,
        }
    }
}

/// A reader that is asked by [`OwnMetrics::batch`]; the SDK's periodic one has a thread.
#[derive(Debug, Clone, Default)]
struct SharedReader(Arc<ManualReader>);

impl SharedReader {
    fn points(&self) -> Vec<Point> {
        let (mut metrics, mut points) = (ResourceMetrics::default(), Vec::new());
        if let Err(error) = self.collect(&mut metrics) {
            tracing::debug!(%error, "own metrics could not be aggregated");
        }
        for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
            // Dependencies may use the global meter too: what is not in the catalogue is left out.
            if let Some(instrument) = catalogue::find(metric.name()) {
                match metric.data() {
                    AggregatedMetrics::F64(data) => convert(instrument, data, Value::Double, &mut points),
                    AggregatedMetrics::I64(data) => convert(instrument, data, Value::Int, &mut points),
                    AggregatedMetrics::U64(data) => {
                        let value = |number| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
                        convert(instrument, data, value, &mut points);
                    }
                }
            }
        }
        points
    }
}

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Points of one metric; `value` is its number as a point has it.
fn convert<T: Copy>(
    instrument: &'static Instrument,
    data: &MetricData<T>,
    value: fn(T) -> Value,
    points: &mut Vec<Point>,
) {
    match data {
        MetricData::Gauge(gauge) => {
            let time = gauge.time().into();
            let all = gauge.data_points();
            points.extend(all.map(|p| point(instrument, p.attributes(), value(p.value()), time, None)));
        }
        MetricData::Sum(sum) => {
            let (time, start) = (sum.time().into(), Some(sum.start_time().into()));
            let all = sum.data_points();
            points.extend(all.map(|p| point(instrument, p.attributes(), value(p.value()), time, start)));
        }
        MetricData::Histogram(histogram) => {
            let (time, start) = (histogram.time().into(), Some(histogram.start_time().into()));
            points.extend(histogram.data_points().map(|p| {
                let buckets = Histogram {
                    count: p.count(),
                    sum: value(p.sum()).as_f64().unwrap_or_default(),
                    buckets: p.bucket_counts().collect(),
                };
                point(
                    instrument,
                    p.attributes(),
                    Value::Histogram(Arc::new(buckets)),
                    time,
                    start,
                )
            }));
        }
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn point<'a>(
    instrument: &'static Instrument,
    attributes: impl Iterator<Item = &'a KeyValue>,
    value: Value,
    time: Timestamp,
    start: Option<Timestamp>,
) -> Point {
    let start = start.filter(|_| instrument.kind != crate::metric::Kind::UpDownCounter);
    Point {
        instrument,
        attributes: Arc::new(Attributes::new(attributes.filter_map(attribute))),
        owner: None,
        value,
        time,
        start,
    }
}

fn attribute(pair: &KeyValue) -> Option<Attribute> {
    let (known, _) = key::ALL.iter().find(|(known, _)| *known == pair.key.as_str())?;
    let value = match &pair.value {
        opentelemetry::Value::Bool(truth) => AttributeValue::Bool(*truth),
        opentelemetry::Value::I64(number) => AttributeValue::Int(*number),
        other => AttributeValue::from(other.as_str().as_ref()),
    };
    Some((known, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sdk_counted_comes_out_under_the_catalogues_name_with_its_attributes() {
        let reader = SharedReader::default();
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).build();
        let meter = opentelemetry::metrics::MeterProvider::meter(&provider, "test");
        let runs = meter.u64_counter(catalogue::agent::SAMPLER_RUNS.name).build();
        let attributes = [
            KeyValue::new(key::AGENT_SAMPLER, "disk"),
            KeyValue::new(key::AGENT_OUTCOME, "retry"),
        ];
        runs.add(2, &attributes);
        runs.add(3, &attributes);
        meter.u64_counter("somebody.elses").build().add(1, &[]);
        let points = reader.points();
        let [point] = points.as_slice() else {
            panic!("{points:?}")
        };
        assert_eq!(point.instrument, &catalogue::agent::SAMPLER_RUNS);
        assert_eq!(point.value, Value::Int(5));
        assert_eq!(point.attributes.get(key::AGENT_SAMPLER), Some(&"disk".into()));
        assert!(point.start.is_some_and(|start| start < point.time));
    }
}
