//! A success counts only where the answer is one of OTLP.

use crate::logs;
use crate::peer::http::{Peer, Reply, status};
use crate::peer::{destination, drained, record, start, until};
use accelscope_export::otlp::Protocol;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

fn typed(kind: &str, body: &'static str) -> Reply {
    status(200).header("content-type", kind).body(body)
}

#[tokio::test]
async fn a_success_that_is_no_answer_of_otlp_is_held_and_named() {
    for reply in [
        typed("text/plain", "no OTLP: OK"),
        typed("application/json", "{\"status\":\"success\"}"),
        typed("application/json", "[1]"),
        typed("application/xml", "<ok/>"),
        typed("application/x-protobuf", "no OTLP"),
        status(200).body("no OTLP"),
        status(202).body("no OTLP"),
    ] {
        let running = Peer::new([reply.clone(), reply.clone()]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1), record(2)]);
        until("it is blocked", || {
            exporter.state("d").unwrap().blocked == Some("not_otlp")
        })
        .await;
        let said = exporter.state("d").unwrap().last_error.unwrap();
        assert!(said.starts_with("success, but"), "{said}");
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (2, 0), "{said}");
    }
}

/// As Prometheus (200), VictoriaMetrics (204) and gateways that queue (202) answer.
#[tokio::test]
async fn an_empty_success_is_one() {
    for reply in [
        status(200),
        status(202),
        status(204),
        typed("text/plain; charset=utf-8", ""),
        typed("application/json", "{}"),
    ] {
        let running = Peer::new([reply]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1);
        assert_eq!(running.peer.seen.len(), 1);
    }
}

#[tokio::test]
async fn points_that_json_says_are_rejected_are_counted() {
    for body in [
        "{\"partialSuccess\":{\"rejectedDataPoints\":\"2\",\"errorMessage\":\"too old\"}}",
        "{\"partialSuccess\":{\"rejectedDataPoints\":2}}",
        "{\"partial_success\":{\"rejected_data_points\":2}}",
    ] {
        let running = Peer::new([typed("application/json", body)]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1), record(2), record(3)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (1, 2), "{body}");
        assert_eq!(running.peer.seen.len(), 1);
    }
}

#[tokio::test]
async fn a_long_success_that_is_no_answer_of_otlp_is_held_too() {
    let long = |first: &str| format!("no OTLP{first}{}", "x".repeat(5 << 20));
    let typed = |kind: &str| status(200).header("content-type", kind);
    for reply in [
        status(200).body(long("")),
        typed("application/octet-stream").body(long("")),
        typed("application/x-protobuf").body(long("\n")),
        typed("application/json").body(long("{\"data\":\"")),
        typed("text/html").body(long("<html>")),
    ] {
        let running = Peer::new([reply]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1), record(2)]);
        until("it is blocked", || {
            exporter.state("d").unwrap().blocked == Some("not_otlp")
        })
        .await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (2, 0));
    }
}

/// The points were processed, and nobody knows which of them were rejected.
#[tokio::test]
async fn a_long_answer_of_otlp_is_not_asked_for_again() {
    let partial = ExportMetricsPartialSuccess {
        rejected_data_points: 1,
        error_message: "x".repeat(5 << 20),
    };
    let response = ExportMetricsServiceResponse {
        partial_success: Some(partial),
    };
    let json = format!(
        "{{\"partialSuccess\": {{\"errorMessage\": \"{}\"}}}}",
        "x".repeat(5 << 20)
    );
    for reply in [
        status(200)
            .header("content-type", "application/x-protobuf")
            .body(response.encode_to_vec()),
        status(200).body(response.encode_to_vec()),
        status(200).header("content-type", "application/json").body(json),
    ] {
        let running = Peer::new([reply]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1), record(2)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (0, 2));
        assert_eq!(running.peer.seen.len(), 1);
    }
}

/// The number is the receiver's, and may be any.
#[tokio::test]
async fn no_more_points_are_dropped_than_were_sent() {
    logs::record();
    let rejected = format!("{{\"partialSuccess\":{{\"rejectedDataPoints\":\"{}\"}}}}", i64::MAX);
    let running = Peer::new([status(200).header("content-type", "application/json").body(rejected)])
        .start()
        .await;
    let to = destination("all of them", Protocol::HttpProtobuf, &running.address.to_string());
    let exporter = start(vec![to]);
    exporter.push(&[record(1), record(2)]);
    assert_eq!(drained(&exporter, "all of them").await.dropped, 2);
    until("the log says so", || {
        logs::of("all of them").iter().any(|line| line.contains("points=2 "))
    })
    .await;
}
