//! JSON lines, one per point.

use serde_json::{Map, Value as Json, json};

use accelscope_core::metric::{AttributeValue, Kind, Series, Value};

/// The line of one point, without its line break: `time`, `start_time` for cumulative values, `name`, `unit`, `type`,
/// `attributes`, and `value` (null once for a series that has ended) or a histogram's `count`, `sum`, `bounds`,
/// `buckets`.
pub fn json_line(series: &Series) -> String {
    let mut line = Map::new();
    line.insert("time".into(), series.time.to_string().into());
    if let Some(start) = series.start.filter(|_| series.instrument.kind.is_cumulative()) {
        line.insert("start_time".into(), start.to_string().into());
    }
    line.insert("name".into(), series.instrument.name.into());
    line.insert("unit".into(), series.instrument.unit.into());
    line.insert("type".into(), series.instrument.kind.as_str().into());
    let attributes = series
        .attributes
        .iter()
        .map(|(key, value)| ((*key).to_owned(), attribute(value)));
    line.insert("attributes".into(), Json::Object(attributes.collect()));
    match &series.value {
        None => drop(line.insert("value".into(), Json::Null)),
        Some(Value::Int(number)) => drop(line.insert("value".into(), (*number).into())),
        Some(Value::Double(number)) => drop(line.insert("value".into(), (*number).into())),
        Some(Value::Histogram(histogram)) => {
            let bounds = if let Kind::Histogram(bounds) = series.instrument.kind {
                bounds
            } else {
                &[]
            };
            line.insert("count".into(), histogram.count.into());
            line.insert("sum".into(), histogram.sum.into());
            line.insert("bounds".into(), json!(bounds));
            line.insert("buckets".into(), json!(histogram.buckets));
        }
    }
    Json::Object(line).to_string()
}

fn attribute(value: &AttributeValue) -> Json {
    match value {
        AttributeValue::Str(text) => (&**text).into(),
        AttributeValue::Int(number) => (*number).into(),
        AttributeValue::Bool(truth) => (*truth).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use accelscope_core::metric::catalogue::{agent, hw};
    use accelscope_core::metric::{Attributes, Histogram, Instrument, Timestamp, key};

    fn series(instrument: &'static Instrument, value: Option<Value>) -> Series {
        Series {
            instrument,
            attributes: Arc::new(Attributes::new([(key::HW_ID, "a\"b".into())])),
            value,
            time: Timestamp::from_unix_nanos(1_700_000_000_000_000_007),
            start: Some(Timestamp::from_unix_nanos(1_700_000_000_000_000_000)),
        }
    }

    #[test]
    fn each_kind_has_the_promised_form() {
        assert_eq!(
            json_line(&series(&hw::NPU_UTILIZATION, Some(0.43.into()))),
            r#"{"time":"2023-11-14T22:13:20.000000007Z","name":"hw.npu.utilization","unit":"1","type":"gauge","attributes":{"hw.id":"a\"b"},"value":0.43}"#
        );
        assert_eq!(
            json_line(&series(&agent::EXPORT_POINTS, Some(30.into()))),
            r#"{"time":"2023-11-14T22:13:20.000000007Z","start_time":"2023-11-14T22:13:20.000000000Z","name":"agent.export.points","unit":"{point}","type":"counter","attributes":{"hw.id":"a\"b"},"value":30}"#
        );
        assert!(json_line(&series(&hw::NPU_UTILIZATION, None)).ends_with(r#""value":null}"#));
        let histogram = Histogram {
            count: 3,
            sum: 0.5,
            buckets: [1, 2, 0, 0, 0, 0, 0].into(),
        };
        let line = json_line(&series(
            &agent::SAMPLER_DURATION,
            Some(Value::Histogram(Arc::new(histogram))),
        ));
        assert!(
            line.ends_with(
                r#""count":3,"sum":0.5,"bounds":[0.0001,0.001,0.01,0.1,1.0,10.0],"buckets":[1,2,0,0,0,0,0]}"#
            ),
            "{line}"
        );
    }
}
