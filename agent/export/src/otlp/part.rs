//! Part of an encoded request: some of its data points, with all that describes them.
//!
//! Works on the encoded bytes, so that taking one point of a large record allocates no message types. Field numbers are
//! those of opentelemetry-proto 1.11 (`collector/metrics/v1`, `metrics/v1`).

use std::ops::Range;

use prost::encoding::{WireType, decode_key, decode_varint};

use super::wire;

/// The way from the request to a data point: of each message the fields that lead on. All other fields describe what is
/// below and are copied.
const WAY: [&[u32]; 5] = [
    &[1],               // ExportMetricsServiceRequest.resource_metrics
    &[2],               // ResourceMetrics.scope_metrics
    &[2],               // ScopeMetrics.metrics
    &[5, 7, 9, 10, 11], // Metric.gauge, sum, histogram, exponential_histogram, summary
    &[1],               // data_points of each of these
];

/// The request with the data points at `wanted` only, counted through all metrics in the order of their bytes. Resources,
/// scopes and metrics without such a point are left out. `None` if the bytes are no message, or have none of the points.
pub(super) fn part(request: &[u8], wanted: &Range<u64>) -> Option<Vec<u8>> {
    let mut part = Vec::new();
    let has_points = copy(request, &WAY, wanted, &mut 0, &mut part)?;
    has_points.then_some(part)
}

/// The name of the first metric of a request.
pub(super) fn metric_name(request: &[u8]) -> Option<&str> {
    let mut message = request;
    // To the metric, and its `name`.
    for tag in [1, 2, 2, 1] {
        message = first(message, tag)?;
    }
    std::str::from_utf8(message).ok()
}

/// The first field of this tag that has a length.
fn first(mut message: &[u8], wanted: u32) -> Option<&[u8]> {
    loop {
        let (tag, body, rest) = field(message)?;
        match body {
            Some(body) if tag == wanted => return Some(body),
            _ => message = rest,
        }
    }
}

/// Copies a message without the points that are not wanted; returns whether it has one. `at` is the number of points
/// before it, and after it when the function returns.
fn copy(message: &[u8], way: &[&[u32]], wanted: &Range<u64>, at: &mut u64, part: &mut Vec<u8>) -> Option<bool> {
    let (tags, below) = way.split_first()?;
    let mut has_points = false;
    let mut rest = message;
    while !rest.is_empty() {
        let (tag, body, after) = field(rest)?;
        let whole = &rest[..rest.len() - after.len()];
        rest = after;
        match body {
            Some(_) if tags.contains(&tag) && below.is_empty() => {
                if wanted.contains(at) {
                    part.extend_from_slice(whole);
                    has_points = true;
                }
                *at += 1;
            }
            Some(body) if tags.contains(&tag) => {
                let mut inner = Vec::new();
                if copy(body, below, wanted, at, &mut inner)? {
                    wire::delimited(tag, &inner, part);
                    has_points = true;
                }
            }
            _ => part.extend_from_slice(whole),
        }
    }
    Some(has_points)
}

/// Tag of a field, its body if it has a length, and what follows it.
type Field<'a> = (u32, Option<&'a [u8]>, &'a [u8]);

/// The first field.
fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let mut rest = bytes;
    let (tag, kind) = decode_key(&mut rest).ok()?;
    let length = match kind {
        WireType::Varint => {
            decode_varint(&mut rest).ok()?;
            return Some((tag, None, rest));
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(&mut rest).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (body, after) = rest.split_at_checked(length)?;
    Some((tag, (kind == WireType::LengthDelimited).then_some(body), after))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
        SummaryDataPoint,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn numbers(ids: &mut u64, count: usize) -> Vec<NumberDataPoint> {
        let point = |()| {
            *ids += 1;
            NumberDataPoint {
                time_unix_nano: *ids,
                flags: 1,
                ..NumberDataPoint::default()
            }
        };
        std::iter::repeat_n((), count).map(point).collect()
    }

    fn metric(ids: &mut u64, kind: u8, count: usize) -> Metric {
        let data = match kind {
            0 => Data::Gauge(Gauge {
                data_points: numbers(ids, count),
            }),
            1 => Data::Sum(Sum {
                data_points: numbers(ids, count),
                aggregation_temporality: 2,
                is_monotonic: true,
            }),
            2 => Data::Histogram(Histogram {
                aggregation_temporality: 2,
                data_points: numbers(ids, count)
                    .into_iter()
                    .map(|point| HistogramDataPoint {
                        time_unix_nano: point.time_unix_nano,
                        sum: Some(1.5),
                        bucket_counts: vec![1, 2],
                        explicit_bounds: vec![0.5],
                        ..HistogramDataPoint::default()
                    })
                    .collect(),
            }),
            _ => Data::Summary(Summary {
                data_points: numbers(ids, count)
                    .into_iter()
                    .map(|point| SummaryDataPoint {
                        time_unix_nano: point.time_unix_nano,
                        ..SummaryDataPoint::default()
                    })
                    .collect(),
            }),
        };
        Metric {
            name: format!("metric.{kind}"),
            unit: "s".to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    /// Requests of any shape, each point with a time of its own, and the number of points.
    fn requests() -> impl Strategy<Value = (ExportMetricsServiceRequest, u64)> {
        let metrics = prop::collection::vec((0u8..4, 1usize..5), 1..4);
        let scopes = prop::collection::vec(metrics, 1..3);
        prop::collection::vec(scopes, 1..3).prop_map(|resources| {
            let mut ids = 0;
            let resource_metrics = resources.into_iter().map(|scopes| ResourceMetrics {
                resource: Some(Resource {
                    dropped_attributes_count: 3,
                    ..Resource::default()
                }),
                schema_url: "of the resource".to_owned(),
                scope_metrics: scopes
                    .into_iter()
                    .map(|metrics| ScopeMetrics {
                        scope: Some(InstrumentationScope {
                            name: "scope".to_owned(),
                            ..InstrumentationScope::default()
                        }),
                        schema_url: "of the scope".to_owned(),
                        metrics: metrics
                            .into_iter()
                            .map(|(kind, count)| metric(&mut ids, kind, count))
                            .collect(),
                    })
                    .collect(),
            });
            (
                ExportMetricsServiceRequest {
                    resource_metrics: resource_metrics.collect(),
                },
                ids,
            )
        })
    }

    /// Each point as a request of its own.
    fn single(request: &ExportMetricsServiceRequest) -> Vec<ExportMetricsServiceRequest> {
        let mut points = Vec::new();
        for resource in &request.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    let mut add = |data| {
                        let metrics = vec![Metric {
                            data: Some(data),
                            ..metric.clone()
                        }];
                        let scope_metrics = vec![ScopeMetrics {
                            metrics,
                            ..scope.clone()
                        }];
                        let resource_metrics = vec![ResourceMetrics {
                            scope_metrics,
                            ..resource.clone()
                        }];
                        points.push(ExportMetricsServiceRequest { resource_metrics });
                    };
                    match metric.data.clone().unwrap() {
                        Data::Gauge(all) => all.data_points.into_iter().for_each(|point| {
                            add(Data::Gauge(Gauge {
                                data_points: vec![point],
                            }));
                        }),
                        Data::Sum(all) => all.data_points.clone().into_iter().for_each(|point| {
                            add(Data::Sum(Sum {
                                data_points: vec![point],
                                ..all.clone()
                            }));
                        }),
                        Data::Histogram(all) => all.data_points.clone().into_iter().for_each(|point| {
                            add(Data::Histogram(Histogram {
                                data_points: vec![point],
                                ..all.clone()
                            }));
                        }),
                        Data::Summary(all) => all.data_points.into_iter().for_each(|point| {
                            add(Data::Summary(Summary {
                                data_points: vec![point],
                            }));
                        }),
                        Data::ExponentialHistogram(_) => unreachable!("not generated"),
                    }
                }
            }
        }
        points
    }

    proptest! {
        /// The parts have the points of the whole, in its order, each with what describes it.
        #[test]
        fn parts_are_the_whole((request, count) in requests(), size in 1u64..9) {
            let bytes = request.encode_to_vec();
            let mut joined = Vec::new();
            let mut from = 0;
            while let Some(part) = part(&bytes, &(from..from + size)) {
                let part = ExportMetricsServiceRequest::decode(&*part).unwrap();
                let points = single(&part);
                prop_assert_eq!(points.len() as u64, size.min(count - from));
                joined.extend(points);
                from += size;
            }
            prop_assert!(from >= count);
            prop_assert_eq!(joined, single(&request));
            prop_assert_eq!(part(&bytes, &(0..count)).map(|all| all == bytes), Some(true));
        }

        #[test]
        fn bytes_that_are_no_message_have_no_part(bytes in prop::collection::vec(any::<u8>(), 0..60), from in 0u64..3) {
            let _ = part(&bytes, &(from..from + 1));
        }
    }
}
