//! A success counts only where the answer is one of OTLP.

use crate::peer::http::{Peer, Reply, status};
use crate::peer::{destination, drained, record, start, until};
use accelscope_export::otlp::Protocol;

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
