//! Only what the receiver refused twice is dropped, and no more than the smallest piece.

use crate::peer::http::{Peer, status};
use crate::peer::{destination, drained, grpc, record, record_of, start, until};
use accelscope_export::otlp::Protocol;
use tonic::{Code, Status};

/// A receiver that comes back and fails for a second: the backlog is halved seven times and waits.
#[tokio::test]
async fn a_receiver_that_fails_for_a_moment_costs_nothing() {
    let records: Vec<_> = (1..=110).map(record).collect();
    for code in [400, 500] {
        let running = Peer::new([(); 7].map(|()| status(code))).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&records);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (110, 0), "{code}");
        assert_eq!(running.peer.accepted(), (1..=110).collect::<Vec<_>>());
    }
    for code in [
        Code::Internal,
        Code::Unknown,
        Code::FailedPrecondition,
        Code::ResourceExhausted,
    ] {
        let replies = [(); 7].map(|()| grpc::Reply::Fail(Status::new(code, "scripted")));
        let running = grpc::Peer::new(replies).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&records);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (110, 0), "{code:?}");
    }
}

/// For longer it costs a point for each two requests, with a pause before the second.
#[tokio::test]
async fn a_receiver_that_fails_for_long_costs_little() {
    let running = Peer::new([(); 16].map(|()| status(500))).start().await;
    let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
    let exporter = start(vec![to]);
    exporter.push(&[record_of(1..=60), record_of(61..=110)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (106, 4));
    assert_eq!(running.peer.accepted(), (5..=110).collect::<Vec<_>>());
}

/// A receiver that fails whenever a request has more than some points: after that is found out nearly every request passes.
#[tokio::test]
async fn a_receiver_that_fails_on_many_points_gets_few() {
    for most in [1, 40] {
        let requests = 300;
        let running = Peer::new((0..requests).map(|_| status(500).above(most))).start().await;
        let over_grpc = (0..requests).map(|_| grpc::Reply::AtMost(most, Status::internal("scripted")));
        let over_grpc = grpc::Peer::new(over_grpc).start();
        let exporter = start(vec![
            destination("http", Protocol::HttpProtobuf, &running.address.to_string()),
            destination("grpc", Protocol::Grpc, &over_grpc.address.to_string()),
        ]);
        exporter.push(&[record_of(1..=50), record_of(51..=100)]);
        for name in ["http", "grpc"] {
            let totals = drained(&exporter, name).await;
            assert_eq!((totals.sent, totals.dropped), (100, 0), "{name}");
        }
        let refused = |attempts: Vec<bool>| attempts.into_iter().filter(|accepted| !accepted).count();
        let refused = [
            refused(running.peer.seen.map(|attempt| attempt.accepted)),
            refused(over_grpc.peer.seen.map(|attempt| attempt.accepted)),
        ];
        // To find the size, and two for each try of a larger one, of which each is twice as late as the one before.
        assert!(refused.iter().all(|refused| *refused <= 30), "{refused:?}");
    }
}

/// One that takes a number of requests in a time and does not say so: smaller requests would only be slower.
#[tokio::test]
async fn a_receiver_that_fails_every_other_request_gets_whole_ones() {
    let replies = (0..40).map(|at| status(if at % 2 == 0 { 200 } else { 500 }));
    let running = Peer::new(replies).start().await;
    let exporter = start(vec![destination(
        "d",
        Protocol::HttpProtobuf,
        &running.address.to_string(),
    )]);
    for part in 0..5 {
        exporter.push(&[record_of(part * 100 + 1..=part * 100 + 100)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!(totals.dropped, 0);
    }
    assert!(
        running
            .peer
            .seen
            .map(|attempt| attempt.ids.len())
            .iter()
            .all(|points| *points >= 100)
    );
}

#[tokio::test]
async fn of_a_poisoned_collection_only_the_refused_points_are_dropped() {
    for code in [400, 422, 500] {
        let mut peer = Peer::new([]);
        peer.poison = (vec![37, 38, 151], code);
        let running = peer.start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record_of(1..=100), record_of(101..=200)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (197, 3), "{code}");
        let expected: Vec<_> = (1..=200).filter(|id| ![37, 38, 151].contains(id)).collect();
        assert_eq!(running.peer.accepted(), expected, "{code}");
    }
}

/// A fault of the configuration, or what a proxy says whatever the data is.
#[tokio::test]
async fn a_refusal_that_does_not_speak_of_the_data_costs_nothing() {
    let page = |code, text: &'static str| status(code).header("content-type", "text/html").body(text);
    for (reply, reason) in [
        (
            status(400).body("Client sent an HTTP request to an HTTPS server.\n"),
            "http_400",
        ),
        (
            page(400, "<h1>400 The plain HTTP request was sent to HTTPS port</h1>"),
            "http_400",
        ),
        (status(400).body("400 No required SSL certificate was sent"), "http_400"),
        (page(400, "<title>400 Bad Request</title>"), "http_400"),
        (page(422, "<title>422</title>"), "http_4xx"),
        (status(411), "http_4xx"),
        (status(428), "http_4xx"),
        (status(444), "http_4xx"),
        (status(494), "http_431"),
        (status(496), "http_4xx"),
        (status(497), "http_4xx"),
    ] {
        let code = reply.status;
        let running = Peer::new([reply.clone(), reply]).start().await;
        let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
        let exporter = start(vec![to]);
        exporter.push(&[record(1), record(2)]);
        until("it is blocked", || exporter.state("d").unwrap().blocked == Some(reason)).await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (2, 0), "{code}");
    }
}
