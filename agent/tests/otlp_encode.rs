//! Output of the encoder, decoded by independent decoders.

#![allow(clippy::unwrap_used, reason = "what cannot be decoded is a failed test")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use accelscope_core::metric::{
    AttributeValue, Attributes, Histogram, Instrument, Kind, Merge, Resource, Series, Stability, Timestamp, Value,
};
use accelscope_export::otlp::{Encoder, MAX_RECORD_BYTES, Record, SCHEMA_URL, json_line};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message;

const fn instrument(name: &'static str, kind: Kind) -> Instrument {
    Instrument {
        name,
        unit: "By",
        kind,
        description: "For tests.",
        attributes: &[],
        owned: false,
        merge: Merge::Sum,
        stability: Stability::Development,
    }
}

static GAUGE: Instrument = instrument("t.gauge", Kind::Gauge);
static COUNTER: Instrument = instrument("t.counter", Kind::Counter);
static UP_DOWN: Instrument = instrument("t.updown", Kind::UpDownCounter);
static HISTOGRAM: Instrument = instrument("t.histogram", Kind::Histogram(&[0.5, 2.0]));

const START: u64 = 1_700_000_000_000_000_001;
const TIME: u64 = 1_800_000_000_000_000_003;

fn series(instrument: &'static Instrument, id: i64, value: Option<Value>) -> Series {
    Series {
        instrument,
        attributes: Arc::new(Attributes::new([
            ("id", id.into()),
            ("name", "käfer \"1\"".into()),
            ("on", false.into()),
            ("empty", "".into()),
        ])),
        value,
        time: Timestamp::from_unix_nanos(TIME + id as u64),
        start: instrument
            .kind
            .is_cumulative()
            .then(|| Timestamp::from_unix_nanos(START)),
    }
}

fn resource() -> Resource {
    let mut resource = Resource::default();
    resource.set("service.name", "accelscope");
    resource.set("host.id", "node-1");
    resource
}

/// One point of every kind, unordered.
fn everything() -> Vec<Series> {
    let histogram = Histogram {
        count: 6,
        sum: 7.5,
        buckets: [1, 2, 3].into(),
    };
    vec![
        series(&UP_DOWN, 1, Some(Value::Int(-7))),
        series(&GAUGE, 2, Some(Value::Double(0.0))),
        series(&HISTOGRAM, 3, Some(Value::Histogram(Arc::new(histogram)))),
        series(&COUNTER, 4, Some(Value::Int(i64::MAX))),
        series(&GAUGE, 5, Some(Value::Double(0.43))),
        series(&GAUGE, 6, None),
        series(&HISTOGRAM, 7, None),
        series(&COUNTER, 8, Some(Value::Double(1.5))),
    ]
}

fn encoded() -> Record {
    let mut records = Encoder::new(&resource()).encode(&everything(), Timestamp::from_unix_nanos(9));
    assert_eq!(records.len(), 1);
    records.remove(0)
}

fn decode(record: &Record) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(record.bytes.clone()).unwrap()
}

#[test]
fn every_kind_comes_out_as_otlp_wants_it() {
    let record = encoded();
    assert_eq!((record.points, record.time), (8, Timestamp::from_unix_nanos(9)));
    let request = decode(&record);
    // Decoded and encoded again it must be the same length: nothing is there that the schema does not know.
    assert_eq!(request.encoded_len(), record.bytes.len());
    let [of_resource] = &request.resource_metrics[..] else {
        panic!("{request:?}")
    };
    assert_eq!(of_resource.schema_url, SCHEMA_URL);
    let resource = &of_resource.resource.as_ref().unwrap().attributes;
    assert_eq!(
        resource.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(),
        ["host.id", "service.name"]
    );
    let [of_scope] = &of_resource.scope_metrics[..] else {
        panic!("{of_resource:?}")
    };
    let scope = of_scope.scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("accelscope", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(of_scope.schema_url, SCHEMA_URL);
    let names: Vec<_> = of_scope.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["t.counter", "t.gauge", "t.histogram", "t.updown"]);
    assert!(
        of_scope
            .metrics
            .iter()
            .all(|metric| metric.unit == "By" && metric.description == "For tests.")
    );

    let data: Vec<_> = of_scope
        .metrics
        .iter()
        .map(|metric| metric.data.clone().unwrap())
        .collect();
    let [
        Data::Sum(counter),
        Data::Gauge(gauge),
        Data::Histogram(histogram),
        Data::Sum(up_down),
    ] = &data[..]
    else {
        panic!("{data:?}")
    };
    assert_eq!((counter.aggregation_temporality, counter.is_monotonic), (2, true));
    assert_eq!((up_down.aggregation_temporality, up_down.is_monotonic), (2, false));
    assert_eq!(histogram.aggregation_temporality, 2);

    let [big, half] = &counter.data_points[..] else {
        panic!()
    };
    assert_eq!(
        (big.value, big.start_time_unix_nano, big.time_unix_nano),
        (Some(Number::AsInt(i64::MAX)), START, TIME + 4)
    );
    assert_eq!(half.value, Some(Number::AsDouble(1.5)));
    assert_eq!(up_down.data_points[0].value, Some(Number::AsInt(-7)));

    let [zero, some, ended] = &gauge.data_points[..] else {
        panic!()
    };
    assert_eq!(
        (zero.value, zero.start_time_unix_nano, zero.flags),
        (Some(Number::AsDouble(0.0)), 0, 0)
    );
    assert_eq!(
        (some.value, some.time_unix_nano),
        (Some(Number::AsDouble(0.43)), TIME + 5)
    );
    assert_eq!((ended.value, ended.flags, ended.time_unix_nano), (None, 1, TIME + 6));
    let value = |key| {
        let found = zero.attributes.iter().find(|kv| kv.key == key).unwrap();
        found.value.clone().unwrap().value.unwrap()
    };
    assert_eq!(value("id"), any_value::Value::IntValue(2));
    assert_eq!(value("name"), any_value::Value::StringValue("käfer \"1\"".to_owned()));
    assert_eq!(value("on"), any_value::Value::BoolValue(false));
    assert_eq!(value("empty"), any_value::Value::StringValue(String::new()));

    let [full, gone] = &histogram.data_points[..] else {
        panic!()
    };
    assert_eq!((full.count, full.sum, full.min, full.max), (6, Some(7.5), None, None));
    assert_eq!(
        (&full.bucket_counts[..], &full.explicit_bounds[..]),
        (&[1, 2, 3][..], &[0.5, 2.0][..])
    );
    assert_eq!((full.start_time_unix_nano, full.time_unix_nano), (START, TIME + 3));
    assert_eq!((gone.count, gone.sum, gone.flags), (0, Some(0.0), 1));
    assert_eq!(
        (&gone.bucket_counts[..], &gone.explicit_bounds[..]),
        (&[0, 0, 0][..], &[0.5, 2.0][..])
    );
    assert_eq!((gone.start_time_unix_nano, gone.time_unix_nano), (START, TIME + 7));
}

/// The Collector's Prometheus exporter skips what follows an end in its metric.
#[test]
fn an_end_is_the_last_point_of_its_metric_whatever_the_kind_and_order() {
    static KINDS: [&Instrument; 4] = [&COUNTER, &GAUGE, &HISTOGRAM, &UP_DOWN];
    let one = |kind: &Instrument| match kind.kind {
        Kind::Histogram(_) => Value::Histogram(Arc::new(Histogram {
            count: 0,
            sum: 0.0,
            buckets: [0, 0, 0].into(),
        })),
        _ => Value::Int(1),
    };
    for kind in KINDS {
        let ended = [0, 3, 4, 9];
        let all: Vec<_> = (0..10)
            .map(|id| series(kind, id, (!ended.contains(&id)).then(|| one(kind))))
            .collect();
        // The second encoder starts a record for each point.
        for limit in [MAX_RECORD_BYTES, 10] {
            let records = Encoder::with_limit(&resource(), limit).encode(&all, Timestamp::now());
            let mut seen = Vec::new();
            for record in &records {
                for metric in &decode(record).resource_metrics[0].scope_metrics[0].metrics {
                    assert_eq!((metric.name.as_str(), metric.unit.as_str()), (kind.name, "By"));
                    let points: Vec<_> = match metric.data.clone().unwrap() {
                        Data::Gauge(gauge) => numbers(&gauge.data_points),
                        Data::Sum(sum) => numbers(&sum.data_points),
                        Data::Histogram(histogram) => {
                            let points = histogram.data_points.iter();
                            points.map(|point| (point.time_unix_nano - TIME, point.flags)).collect()
                        }
                        other => panic!("{other:?}"),
                    };
                    let (_, before) = points.split_last().unwrap();
                    assert!(before.iter().all(|(_, flags)| *flags == 0), "{points:?}");
                    seen.extend(points);
                }
            }
            let expected: Vec<_> = (0..10).map(|id| (id as u64, u32::from(ended.contains(&id)))).collect();
            assert_eq!(seen, expected, "{}", kind.name);
        }
    }
}

fn numbers(points: &[NumberDataPoint]) -> Vec<(u64, u32)> {
    let each = points.iter();
    each.map(|point| (point.time_unix_nano - TIME, point.flags)).collect()
}

#[test]
fn records_in_a_row_are_one_request() {
    let record = encoded();
    let joined = [record.bytes.clone(), record.bytes].concat();
    let request = ExportMetricsServiceRequest::decode(&*joined).unwrap();
    assert_eq!(request.resource_metrics.len(), 2);
}

#[test]
fn a_large_collection_is_cut_below_the_limit_and_loses_nothing() {
    let series: Vec<_> = (0..20_000)
        .map(|id| match id % 2 {
            0 => series(&GAUGE, id, Some(Value::Int(id))),
            _ => series(&COUNTER, id, Some(Value::Int(id))),
        })
        .collect();
    let mut encoder = Encoder::new(&resource());
    let records = encoder.encode(&series, Timestamp::now());
    assert!(records.len() > 1);
    assert!(records.iter().all(|record| record.bytes.len() <= MAX_RECORD_BYTES));
    // Split when full and not earlier.
    assert!(records[0].bytes.len() > MAX_RECORD_BYTES - 1024);
    let mut ids = Vec::new();
    for record in &records {
        let before = ids.len();
        for metric in &decode(record).resource_metrics[0].scope_metrics[0].metrics {
            let points = match metric.data.clone().unwrap() {
                Data::Gauge(gauge) => gauge.data_points,
                Data::Sum(sum) => sum.data_points,
                _ => Vec::new(),
            };
            assert!(!points.is_empty(), "an empty metric");
            ids.extend(points.iter().map(|point| point.time_unix_nano - TIME));
        }
        assert_eq!((ids.len() - before) as u64, record.points);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..20_000).collect::<Vec<_>>());
    // The encoder keeps no state between calls.
    assert_eq!(
        encoder.encode(&everything(), Timestamp::from_unix_nanos(9)),
        [encoded()]
    );
}

#[test]
fn without_series_there_is_no_record() {
    assert_eq!(Encoder::new(&resource()).encode::<Series>(&[], Timestamp::now()), []);
}

#[test]
fn a_point_beyond_the_limit_still_goes_out() {
    let records = Encoder::with_limit(&resource(), 10).encode(&everything(), Timestamp::now());
    assert_eq!(records.len(), 8);
}

#[test]
fn a_value_that_does_not_fit_its_metric_is_left_out() {
    let broken = [
        series(&GAUGE, 1, Some(Value::Double(f64::NAN))),
        series(&HISTOGRAM, 2, Some(Value::Int(1))),
        series(&GAUGE, 3, Some(Value::Int(3))),
    ];
    let records = Encoder::new(&resource()).encode(&broken, Timestamp::now());
    assert_eq!(records[0].points, 1);
    assert_eq!(
        decode(&records[0]).resource_metrics[0].scope_metrics[0].metrics.len(),
        1
    );
}

#[test]
fn a_json_line_has_the_form_of_the_specification() {
    let line = json_line(&encoded()).unwrap();
    assert!(!line.contains('\n') && !line.contains("null"), "{line}");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let metrics = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let counter = &metrics[0]["sum"];
    assert_eq!(counter["aggregationTemporality"], 2);
    assert_eq!(counter["isMonotonic"], true);
    let point = &counter["dataPoints"][0];
    assert_eq!(point["asInt"], "9223372036854775807");
    assert_eq!(point["startTimeUnixNano"], START.to_string());
    assert_eq!(point["timeUnixNano"], (TIME + 4).to_string());
    let attributes: Vec<_> = point["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        attributes.contains(&r#"{"key":"id","value":{"intValue":"4"}}"#.to_owned()),
        "{attributes:?}"
    );
    assert!(
        attributes.contains(&r#"{"key":"on","value":{"boolValue":false}}"#.to_owned()),
        "{attributes:?}"
    );
    assert_eq!(metrics[1]["gauge"]["dataPoints"][1]["asDouble"], 0.43);
    let ended = &metrics[1]["gauge"]["dataPoints"][2];
    assert_eq!((ended.get("asDouble"), &ended["flags"]), (None, &1.into()));
    let histogram = &metrics[2]["histogram"]["dataPoints"][0];
    assert_eq!(histogram["count"], "6");
    assert_eq!(histogram["bucketCounts"], serde_json::json!(["1", "2", "3"]));
    assert_eq!(histogram["explicitBounds"], serde_json::json!([0.5, 2.0]));
}

/// Google's own protobuf with the schema that the OpenTelemetry project publishes: it must decode binary and JSON, both
/// to the same message.
#[test]
fn pythons_decoder_reads_the_same_from_bytes_and_from_json() {
    const CHECK: &str = r#"
import base64, json, sys
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
raw, line = sys.stdin.read().split("\n", 1)
request = ExportMetricsServiceRequest.FromString(base64.b64decode(raw))
assert request == json_format.Parse(line, ExportMetricsServiceRequest()), "bytes and JSON differ"
[scope] = request.resource_metrics[0].scope_metrics
for metric in scope.metrics:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        value = point.sum if kind == "histogram" else getattr(point, point.WhichOneof("value") or "flags")
        print(metric.name, kind, value, point.flags, len(point.attributes))
"#;
    let python = std::env::var("ACCELSCOPE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python)
        .args(["-c", "import opentelemetry.proto, google.protobuf"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return skip_test::skip(
            "python-otlp",
            "no Python with opentelemetry-proto (pip install opentelemetry-proto; ACCELSCOPE_PYTHON)",
        );
    }
    let record = encoded();
    let mut child = Command::new(&python)
        .args(["-c", CHECK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = format!("{}\n{}", base64(&record.bytes), json_line(&record).unwrap());
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let read = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        read.lines().collect::<Vec<_>>(),
        [
            "t.counter sum 9223372036854775807 0 4",
            "t.counter sum 1.5 0 4",
            "t.gauge gauge 0.0 0 4",
            "t.gauge gauge 0.43 0 4",
            "t.gauge gauge 1 1 4",
            "t.histogram histogram 7.5 0 4",
            "t.histogram histogram 0.0 1 4",
            "t.updown sum -7 0 4",
        ]
    );
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}

#[test]
fn a_resource_of_every_type_survives() {
    let mut resource = Resource::default();
    resource.set("number", AttributeValue::Int(-1));
    resource.set("truth", true);
    let records = Encoder::new(&resource).encode(&everything(), Timestamp::now());
    let attributes = decode(&records[0])
        .resource_metrics
        .remove(0)
        .resource
        .unwrap()
        .attributes;
    let values: Vec<_> = attributes
        .into_iter()
        .map(|kv| kv.value.unwrap().value.unwrap())
        .collect();
    assert_eq!(
        values,
        [any_value::Value::IntValue(-1), any_value::Value::BoolValue(true)]
    );
}

#[test]
fn no_point_is_older_than_its_start_after_the_clock_was_set_back() {
    let histogram = Histogram {
        count: 1,
        sum: 1.0,
        buckets: [1, 0, 0].into(),
    };
    let late = [
        series(&COUNTER, 1, Some(Value::Int(1))),
        series(&UP_DOWN, 2, Some(Value::Int(2))),
        series(&HISTOGRAM, 3, Some(Value::Histogram(Arc::new(histogram)))),
        series(&COUNTER, 4, None),
    ];
    let late = late.map(|series| Series {
        start: Some(Timestamp::from_unix_nanos(TIME + 60_000_000_000)),
        ..series
    });
    let records = Encoder::new(&resource()).encode(&late, Timestamp::from_unix_nanos(9));
    let request = decode(&records[0]);
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let times: Vec<_> = metrics
        .iter()
        .flat_map(|metric| match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => times(&sum.data_points),
            Data::Histogram(histogram) => {
                let points = histogram.data_points.iter();
                points.map(|p| (p.start_time_unix_nano, p.time_unix_nano)).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times.len(), 4);
    assert!(times.iter().all(|(start, time)| start <= time), "{times:?}");
}

/// Start and time of each.
fn times(points: &[NumberDataPoint]) -> Vec<(u64, u64)> {
    points
        .iter()
        .map(|point| (point.start_time_unix_nano, point.time_unix_nano))
        .collect()
}
