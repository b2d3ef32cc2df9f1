//! The sender's own metrics are consistent: queued = sent + dropped + waiting, by destination.

#![allow(clippy::unwrap_used, reason = "what cannot be collected is a failed test")]

#[path = "otlp_wire/peer/mod.rs"]
#[allow(dead_code, reason = "this test needs one of the receivers only")]
mod peer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelscope_export::otlp::Protocol;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use peer::http::{Peer, status};
use peer::{destination, drained, record, start, until};

/// Series as `name{attributes}` with their values, as last collected.
type Collected = Arc<Mutex<BTreeMap<String, i128>>>;

#[derive(Debug, Clone, Default)]
struct Collector(Collected);

impl PushMetricExporter for Collector {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        *self.0.lock().unwrap() = numbers(metrics);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn numbers(metrics: &ResourceMetrics) -> BTreeMap<String, i128> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, attributes: Vec<String>, value: i128| {
        found.insert(format!("{name}{{{}}}", attributes.join(",")), value);
    };
    for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
        let text = |kv: &opentelemetry::KeyValue| format!("{}={}", kv.key, kv.value);
        macro_rules! points {
            ($data:expr) => {
                $data.data_points().for_each(|point| {
                    let mut attributes: Vec<_> = point.attributes().map(text).collect();
                    attributes.sort();
                    add(metric.name(), attributes, i128::from(point.value()));
                })
            };
        }
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => points!(sum),
            AggregatedMetrics::I64(MetricData::Sum(sum)) => points!(sum),
            AggregatedMetrics::I64(MetricData::Gauge(gauge)) => points!(gauge),
            _ => {}
        }
    }
    found
}

#[tokio::test]
async fn every_point_is_accounted_for() {
    let collector = Collector::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(collector.clone())
        .build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let collect = || {
        provider.force_flush().unwrap();
        collector.0.lock().unwrap().clone()
    };

    let running = Peer::new([status(400), status(503), status(401), status(401)])
        .start()
        .await;
    let mut to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
    to.queue_bytes = 2 * record(1).size();
    let exporter = start(vec![to]);

    let before = collect();
    for outcome in ["queued", "sent", "dropped"] {
        let name = format!("agent.export.points{{agent.outcome={outcome},destination=d}}");
        assert_eq!(before.get(&name), Some(&0), "{before:?}");
    }

    // Three records where two fit: one is dropped at once; a 400 then makes the request smaller.
    exporter.push(&[record(1), record(2), record(3)]);
    until("it is blocked", || exporter.state("d").unwrap().blocked.is_some()).await;
    let blocked = collect();
    assert_eq!(blocked["agent.export.blocked{agent.reason=http_401,destination=d}"], 1);
    drained(&exporter, "d").await;
    exporter.push(&[record(4)]);
    drained(&exporter, "d").await;

    let now = collect();
    let get = |name: &str| *now.get(name).unwrap_or_else(|| panic!("no {name} in {now:#?}"));
    let points = |outcome: &str| get(&format!("agent.export.points{{agent.outcome={outcome},destination=d}}"));
    assert_eq!(points("queued"), 4);
    assert_eq!(points("sent") + points("dropped"), 4);
    assert_eq!(get("agent.export.dropped{agent.reason=queue_full,destination=d}"), 1);
    let by_reason: i128 = now
        .iter()
        .filter(|(name, _)| name.starts_with("agent.export.dropped{"))
        .map(|(_, value)| value)
        .sum();
    assert_eq!(by_reason, points("dropped"));
    assert_eq!(points("sent"), running.peer.accepted().len() as i128);
    assert_eq!(get("agent.export.queue.points{destination=d}"), 0);
    assert_eq!(get("agent.export.queue.usage{destination=d}"), 0);
    assert_eq!(
        get("agent.export.queue.limit{destination=d}"),
        i128::from(2 * record(1).size())
    );
    assert_eq!(
        get("agent.export.bytes{destination=d}"),
        i128::from(points("sent") as u64 * record(1).size())
    );
    assert_eq!(get("agent.export.blocked{agent.reason=http_401,destination=d}"), 0);
    assert_eq!(get("agent.export.requests{agent.outcome=refused,destination=d}"), 2);
    assert_eq!(get("agent.export.requests{agent.outcome=retry,destination=d}"), 1);
}
