//! `agent.http.requests`, in a process of its own: the recording API is global.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, too")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelscope_export::http::{Access, Listener, Route};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Counts = BTreeMap<(String, String), u64>;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Counts>>);

impl PushMetricExporter for Seen {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let all = metrics.scope_metrics().flat_map(ScopeMetrics::metrics);
        for metric in all.filter(|metric| metric.name() == "agent.http.requests") {
            let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() else {
                panic!("no counter")
            };
            for point in sum.data_points() {
                let attribute = |key: &str| {
                    let found = point.attributes().find(|a| a.key.as_str() == key);
                    found.map(|a| a.value.to_string()).unwrap_or_default()
                };
                let labels = (attribute("http.route"), attribute("http.response.status_code"));
                self.0.lock().unwrap().insert(labels, point.value());
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[test]
fn requests_are_counted_by_route_and_status_and_strangers_choose_no_series() {
    let seen = Seen::default();
    let provider = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(seen.clone()).build())
        .build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let routes = vec![Route::get("/here", "here", async || "here")];
    let listener = Listener::bind(
        "http.listen",
        SocketAddr::from(([127, 0, 0, 1], 0)),
        routes,
        &Access::default(),
    )
    .unwrap();
    let addr = listener.local_addr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = tokio::spawn(listener.serve(std::future::pending()));
        for request in ["GET /here", "HEAD /here", "PUT /here", "GET /random1", "GET /random2"] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let request = format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
        server.abort();
    });
    provider.force_flush().unwrap();
    let count = |route: &str, status: &str, count| ((route.to_owned(), status.to_owned()), count);
    let expected = Counts::from([count("/here", "200", 2), count("/here", "405", 1), count("", "404", 2)]);
    assert_eq!(*seen.0.lock().unwrap(), expected);
}
