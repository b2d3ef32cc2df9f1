//! A proxy before the receiver answers for it: over gRPC its HTTP status means what it means over HTTP.

use std::time::Duration;

use crate::peer::http::{Peer, Reply, status};
use crate::peer::{destination, drained, record, record_of, start, until};
use accelscope_export::otlp::Protocol;

/// As nginx answers.
fn page(code: u16) -> Reply {
    status(code)
        .header("content-type", "text/html")
        .body(format!("<html><head><title>{code}</title></head></html>"))
}

#[tokio::test]
async fn what_a_proxy_says_of_a_dead_receiver_waits() {
    for code in [408, 429, 499, 502, 503, 504, 521] {
        let running = Peer::new([page(code), page(code), status(code)]).start_for_grpc();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1), record(2), record(3)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (3, 0), "{code}");
        assert_eq!(running.peer.accepted(), [1, 2, 3]);
        let said = exporter.state("d").unwrap().last_error.unwrap();
        assert!(said.contains(&code.to_string()), "{said}");
    }
}

#[tokio::test]
async fn what_a_proxy_says_of_the_configuration_holds_everything() {
    for (reply, reason) in [
        (page(401), "http_401"),
        (page(403), "http_403"),
        (page(404), "http_404"),
        (status(404), "http_404"),
        (page(405), "http_405"),
        (page(415), "http_415"),
        (page(301).header("location", "https://elsewhere.example/"), "redirect"),
        (page(501), "http_501"),
        (page(400), "http_400"),
        (status(400).body("bad request"), "http_400"),
        (page(422), "http_4xx"),
        (page(431), "http_431"),
        (page(200), "not_otlp"),
        (status(200).header("content-type", "text/plain"), "not_otlp"),
        (status(200).header("content-type", "application/grpc-web"), "not_otlp"),
    ] {
        let running = Peer::new([reply.clone(), reply]).start_for_grpc();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1), record(2)]);
        until("it is blocked", || exporter.state("d").unwrap().blocked == Some(reason)).await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (2, 0), "{reason}");
    }
}

#[tokio::test]
async fn a_proxy_with_a_limit_on_requests_gets_smaller_ones() {
    let running = Peer::new((0..40).map(|_| page(413).above(2))).start_for_grpc();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&(1..=7).map(record).collect::<Vec<_>>());
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (7, 0));
    assert_eq!(running.peer.accepted(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_proxy_that_takes_less_than_one_collection_gets_it_in_parts() {
    let running = Peer::new((0..400).map(|_| page(413).above(3))).start_for_grpc();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record_of(1..=100)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (100, 0));
    assert_eq!(running.peer.accepted(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_proxys_retry_after_is_waited_for() {
    let running = Peer::new([page(503).header("retry-after", "1")]).start_for_grpc();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
    let times = running.peer.seen.map(|attempt| attempt.at);
    assert!(
        times[1] - times[0] >= Duration::from_secs(1),
        "{:?}",
        times[1] - times[0]
    );
}

/// As a proxy that knows no trailers, or ends in the middle.
#[tokio::test]
async fn an_answer_without_a_status_of_grpc_is_no_success_and_no_refusal() {
    let grpc = |code| status(code).header("content-type", "application/grpc");
    for reply in [grpc(200), grpc(200).body(vec![0; 5]), grpc(503), grpc(502).body("x")] {
        let running = Peer::new([reply.clone(), reply]).start_for_grpc();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (1, 0));
        assert_eq!(running.peer.seen.len(), 3);
    }
}

#[tokio::test]
async fn a_success_whose_message_has_not_arrived_is_held() {
    let long = [vec![b'x'; 5], vec![b'y'; 5 << 20]].concat();
    for body in [b"\0\xff\xff\xff\xffab".to_vec(), b"\0\0\0\0\x09ab".to_vec(), long] {
        let reply = status(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", "0");
        let running = Peer::new([reply.body(body)]).start_for_grpc();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        until("it is blocked", || {
            exporter.state("d").unwrap().blocked == Some("not_otlp")
        })
        .await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (1, 0));
    }
}

/// The status counts though what explains it is damaged.
#[tokio::test]
async fn details_that_are_no_base64_cost_no_status() {
    for (code, reason) in [(16, "unauthenticated"), (7, "permission_denied"), (12, "unimplemented")] {
        let reply = status(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", code.to_string())
            .header("grpc-status-details-bin", "!!! no base64 !!!");
        let running = Peer::new([reply]).start_for_grpc();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        until("it is blocked", || exporter.state("d").unwrap().blocked == Some(reason)).await;
        assert_eq!(drained(&exporter, "d").await.sent, 1);
    }
}
