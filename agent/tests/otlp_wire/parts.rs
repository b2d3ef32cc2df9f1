//! A receiver that takes less than one collection gets it in parts.

use crate::peer::http::{Peer, status};
use crate::peer::{destination, drained, grpc, record_of, start};
use accelscope_export::otlp::Protocol;
use tonic::Status;

#[tokio::test]
async fn a_receiver_that_takes_three_points_gets_a_hundred() {
    let running = Peer::new((0..999).map(|_| status(413).above(3))).start().await;
    let to = destination("d", Protocol::HttpProtobuf, &running.address.to_string());
    let exporter = start(vec![to]);
    exporter.push(&[record_of(1..=100)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (100, 0));
    assert_eq!(running.peer.accepted(), (1..=100).collect::<Vec<_>>());

    // The size that it takes is known then.
    let before = running.peer.seen.len();
    for at in 0..5 {
        exporter.push(&[record_of(1 + 20 * at..=20 + 20 * at)]);
        drained(&exporter, "d").await;
    }
    let refused = running.peer.seen.map(|attempt| !attempt.accepted);
    let refused = refused[before..].iter().filter(|refused| **refused).count();
    assert!(refused <= 5, "{refused} requests were too large again");
    assert_eq!(exporter.state("d").unwrap().totals.sent, 200);
}

#[tokio::test]
async fn over_grpc_too() {
    for said in [
        "grpc: received message larger than max (9 vs. 4)",
        "gRPC message exceeds maximum size 4: 9",
    ] {
        let replies = (0..999).map(|_| grpc::Reply::AtMost(1, Status::resource_exhausted(said)));
        let running = grpc::Peer::new(replies).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record_of(1..=30), record_of(31..=33)]);
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (33, 0));
        assert_eq!(running.peer.accepted(), (1..=33).collect::<Vec<_>>());
    }
}
