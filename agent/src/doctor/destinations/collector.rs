//! What an OpenTelemetry Collector that is a destination tells of its own exporters: one with a queue says that it has taken
//! everything, though nothing arrives behind it.
//!
//! Its own metrics are at port 8888 of its host by default
//! (<https://opentelemetry.io/docs/collector/internal-telemetry/>). They are asked for where the host is this machine, a
//! Service of the cluster or in a private network, and not through proxies; where nothing of a Collector's answers there is no
//! finding.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::connect;
use accelscope_core::sampler::Finding;
use accelscope_export::otlp::Destination;

/// Port of a Collector's own metrics.
const PORT: u16 = 8888;
/// Time for the answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest answer that is read.
const MAX_BYTES: u64 = 4 << 20;
/// Most exporters that have a finding.
const MOST_EXPORTERS: usize = 8;

/// Counts of one exporter since the Collector's start, in data points but for the queue's.
#[derive(Debug, Default, PartialEq)]
struct Exporter {
    sent: f64,
    failed: f64,
    refused: f64,
    /// Requests that wait, and how many may.
    queue: f64,
    capacity: f64,
}

/// What keeps points from arriving behind the destination.
pub(super) fn behind(destination: &Destination) -> Vec<Finding> {
    let host = destination
        .endpoint
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']']);
    if destination.proxy.is_some() {
        return Vec::new();
    }
    let addresses = (host, PORT).to_socket_addrs().into_iter().flatten();
    let near: Vec<SocketAddr> = addresses
        .filter(|address| is_of_cluster(host) || is_near(address.ip()))
        .collect();
    let Some(text) = connect(near.into_iter()).ok().and_then(|stream| metrics(stream, host)) else {
        return Vec::new();
    };
    findings(
        &destination.name,
        &format!("http://{host}:{PORT}/metrics"),
        &exporters(&text),
    )
}

/// Whether a name is looked up in this network's own domains, as Services are. Their addresses may be of any range.
fn is_of_cluster(host: &str) -> bool {
    let is_name = host.parse::<IpAddr>().is_err();
    is_name && (!host.contains('.') || host.split('.').any(|part| part == "svc"))
}

/// Whether an address is this machine's or of a private network (RFC 1918, RFC 6598, RFC 4193).
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_shared = matches!(address.octets(), [100, 64..=127, ..]);
            address.is_loopback() || address.is_private() || is_shared
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// The body of the answer to `GET /metrics`; by HTTP/1.0, whose answers end with the connection.
fn metrics(mut stream: TcpStream, host: &str) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    let mut stream = stream.take(MAX_BYTES);
    loop {
        let left = until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())?;
        stream.get_ref().set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut part).ok()? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1) == Some("200")).then(|| body.to_owned())
}

/// The exporters of metrics in the Prometheus text of a Collector. Names end with units and `_total` or without, as the
/// Collector's reader is configured.
fn exporters(text: &str) -> BTreeMap<String, Exporter> {
    let mut found = BTreeMap::<String, Exporter>::new();
    for line in text.lines() {
        let Some((name, value)) = line
            .strip_prefix("otelcol_exporter_")
            .and_then(|rest| rest.split_once('{'))
        else {
            continue;
        };
        let Some((labels, value)) = value.rsplit_once("} ") else {
            continue;
        };
        let Some(exporter) = label(labels, "exporter") else {
            continue;
        };
        let value = value.split(' ').next().and_then(|value| value.parse::<f64>().ok());
        let Some(value) = value.filter(|value| value.is_finite()) else {
            continue;
        };
        let is = |stem: &str| {
            name.strip_prefix(stem)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        // One exporter has a series for each kind of data in some versions.
        let is_of_metrics = label(labels, "data_type").is_none_or(|kind| kind == "metrics");
        let counts = found.entry(exporter.to_owned()).or_default();
        match () {
            () if is("sent_metric_points") => counts.sent += value,
            () if is("send_failed_metric_points") => counts.failed += value,
            () if is("enqueue_failed_metric_points") => counts.refused += value,
            () if is("queue_size") && is_of_metrics => counts.queue += value,
            () if is("queue_capacity") && is_of_metrics => counts.capacity += value,
            () => {}
        }
    }
    found
}

/// The value of a label, as it stands between its quotes.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| {
        let value = label.trim().strip_prefix(name)?.strip_prefix("=\"")?;
        value.strip_suffix('"')
    })
}

fn findings(name: &str, url: &str, exporters: &BTreeMap<String, Exporter>) -> Vec<Finding> {
    let of_one = |(exporter, counts): (&String, &Exporter)| {
        let Exporter {
            sent, queue, capacity, ..
        } = counts;
        let lost = counts.failed + counts.refused;
        let is_stuck = *queue > 0.0 && (*sent == 0.0 || *queue >= capacity / 2.0);
        if lost == 0.0 && !is_stuck {
            return None;
        }
        let waiting = if *capacity > 0.0 {
            format!(", and {queue} of {capacity} requests wait in its queue")
        } else {
            String::new()
        };
        let what = format!(
            "destination {name} is a Collector whose exporter {exporter} does not pass on all that it takes: {sent} points \
             were sent and {lost} failed since its start{waiting} ({url})"
        );
        Some(Finding::warn("otlp", what).with_remedy(
            "the Collector's log says why: correct the endpoint of that exporter, or start what it writes to",
        ))
    };
    exporters.iter().filter_map(of_one).take(MOST_EXPORTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let found = findings("default", "http://c:8888/metrics", &exporters(text));
        found.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn an_exporter_that_loses_or_only_queues_is_named() {
        let text = r#"
# TYPE otelcol_exporter_sent_metric_points counter
otelcol_exporter_sent_metric_points{exporter="debug",service_version="0.159.0"} 1.234567e+06
otelcol_exporter_sent_metric_points_total{exporter="otlphttp"} 12
otelcol_exporter_send_failed_metric_points_total{exporter="otlphttp",otel_scope_name="a"} 3 1700000000000
otelcol_exporter_enqueue_failed_metric_points{exporter="otlphttp"} 4
otelcol_exporter_queue_size{exporter="prometheusremotewrite/far",data_type="metrics"} 2
otelcol_exporter_queue_capacity{exporter="prometheusremotewrite/far",data_type="metrics"} 1000
otelcol_exporter_queue_size{exporter="loki",data_type="logs"} 1000
otelcol_exporter_queue_capacity{exporter="loki",data_type="logs"} 1000
otelcol_receiver_accepted_metric_points{receiver="otlp"} 9
"#;
        let found = of(text);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].contains("exporter otlphttp") && found[0].contains("12 points were sent and 7 failed"));
        assert!(found[1].contains("prometheusremotewrite/far") && found[1].contains("2 of 1000 requests wait"));
    }

    #[test]
    fn what_is_no_collectors_says_nothing() {
        let texts = [
            "",
            "<html>",
            "otelcol_exporter_sent_metric_points",
            "otelcol_exporter_sent_metric_points{",
            "otelcol_exporter_sent_metric_points{} 7",
            "otelcol_exporter_send_failed_metric_points{exporter=\"a\"} NaN",
            "otelcol_exporter_send_failed_metric_points{exporter=\"a\"} x",
        ];
        for text in texts {
            assert_eq!(of(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn only_near_hosts_are_asked() {
        let near = [
            "127.0.0.1",
            "10.96.3.1",
            "192.168.1.4",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ];
        let far = ["8.8.8.8", "2001:db8::1", "100.128.0.1"];
        assert!(near.iter().all(|address| is_near(address.parse().unwrap())));
        assert!(!far.iter().any(|address| is_near(address.parse().unwrap())));
        let services = [
            "accelscope-collector",
            "otel.monitoring.svc",
            "otel.monitoring.svc.cluster.local",
        ];
        assert!(services.into_iter().all(is_of_cluster));
        assert!(
            !["otlp.example.com", "8.8.8.8", "2001:db8::1"]
                .into_iter()
                .any(is_of_cluster)
        );
    }
}
