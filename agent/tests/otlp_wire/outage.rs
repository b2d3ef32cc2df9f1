//! Receivers that are away, half open, or dead: every loss is counted, and the order is kept.

use std::time::Duration;

use crate::peer::{PATIENCE, destination, drained, grpc, http, record, start, until};
use accelscope_export::otlp::{Exporter, Protocol};
use free_port::free_address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

#[tokio::test]
async fn after_an_outage_everything_arrives_in_its_order() {
    let address = free_address();
    let exporter = start(vec![destination("d", Protocol::Grpc, &address.to_string())]);
    for id in 1..=50 {
        exporter.push(&[record(id)]);
        tokio::task::yield_now().await;
    }
    until("an attempt failed", || {
        exporter.state("d").unwrap().last_error.is_some()
    })
    .await;
    let said = exporter.state("d").unwrap().last_error.unwrap();
    assert!(said.contains("Connection refused"), "{said}");
    let running = grpc::Peer::new([]).start_at(address);
    exporter.push(&[record(51)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (51, 0));
    assert_eq!(running.peer.accepted(), (1..=51).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receiver_that_stops_in_the_middle_costs_nothing() {
    let first = grpc::Peer::new([]).start();
    let address = first.address;
    let exporter = start(vec![destination("d", Protocol::Grpc, &address.to_string())]);
    exporter.push(&[record(1)]);
    drained(&exporter, "d").await;
    // The connection's own task lives on, so a receiver that stops answering stands for the end of the process.
    first.task.abort();
    until("the port is free", || std::net::TcpListener::bind(address).is_ok()).await;
    exporter.push(&[record(2)]);
    let second = grpc::Peer::new([]).start_at(address);
    exporter.push(&[record(3)]);
    drained(&exporter, "d").await;
    let mut all = first.peer.accepted();
    all.extend(second.peer.accepted());
    assert_eq!(all, [1, 2, 3]);
}

#[tokio::test]
async fn with_a_small_queue_the_missing_points_are_exactly_those_counted_as_dropped() {
    let address = free_address();
    let mut to = destination("d", Protocol::HttpProtobuf, &address.to_string());
    to.queue_bytes = record(1).size() * 10 + 5;
    let exporter = start(vec![to]);
    for id in 1..=100 {
        exporter.push(&[record(id)]);
        tokio::task::yield_now().await;
        assert!(exporter.state("d").unwrap().waiting.bytes <= record(1).size() * 21);
    }
    until("an attempt failed", || {
        exporter.state("d").unwrap().last_error.is_some()
    })
    .await;
    let peer = http::Peer::new([]);
    let listener = TcpListener::bind(address).await.unwrap();
    let router = peer.router();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let totals = drained(&exporter, "d").await;
    let arrived = peer.accepted();
    assert_eq!(totals.sent, arrived.len() as u64);
    assert_eq!(totals.dropped, 100 - arrived.len() as u64);
    assert!(totals.dropped >= 79, "{totals:?}");
    assert!(arrived.is_sorted() && arrived.last() == Some(&100), "{arrived:?}");
}

#[tokio::test]
async fn a_dead_destination_disturbs_no_other() {
    let running = grpc::Peer::new([]).start();
    // Accepts connections and never sends a byte.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = hole.local_addr().unwrap().to_string();
    let exporter = start(vec![
        destination("silent", Protocol::HttpProtobuf, &silent),
        destination("closed", Protocol::Grpc, &free_address().to_string()),
        destination("good", Protocol::Grpc, &running.address.to_string()),
    ]);
    for id in 1..=5 {
        exporter.push(&[record(id)]);
        drained(&exporter, "good").await;
    }
    assert_eq!(running.peer.accepted(), [1, 2, 3, 4, 5]);
    for dead in ["silent", "closed"] {
        let state = exporter.state(dead).unwrap();
        assert_eq!(
            (state.waiting.points, state.totals.dropped, state.totals.sent),
            (5, 0, 0),
            "{dead}"
        );
    }
}

/// Reads one request and answers it.
async fn answer(stream: &mut tokio::net::TcpStream) {
    let mut request = Vec::new();
    let length = loop {
        assert!(
            stream.read_buf(&mut request).await.unwrap() > 0,
            "closed before the request was whole"
        );
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        break end + 4 + length.parse::<usize>().unwrap();
    };
    while request.len() < length {
        stream.read_buf(&mut request).await.unwrap();
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_went_silent_or_was_cut_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut to = destination("d", Protocol::HttpProtobuf, &address.to_string());
    // Of the half open connection, once.
    to.timeout = Duration::from_secs(5);
    let exporter = start(vec![to]);
    exporter.push(&[record(1)]);
    // Half open: the first connection stays, but its peer no longer answers.
    let (mut half_open, _) = listener.accept().await.unwrap();
    answer(&mut half_open).await;
    until("the first record arrived", || {
        exporter.state("d").unwrap().totals.sent == 1
    })
    .await;
    exporter.push(&[record(2)]);
    // The second connection is closed after the request, before any answer.
    let (mut cut, _) = listener.accept().await.unwrap();
    cut.read_u8().await.unwrap();
    drop(cut);
    let (mut good, _) = listener.accept().await.unwrap();
    answer(&mut good).await;
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (2, 0));
}

#[tokio::test]
async fn a_header_that_the_grpc_client_cannot_read_ends_nothing() {
    let reply = http::status(200)
        .header("content-type", "application/grpc")
        .header("grpc-status", "14")
        .header("grpc-status-details-bin", "!!! no base64 !!!");
    let running = http::Peer::new([reply]).start_for_grpc();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
    let said = exporter.state("d").unwrap().last_error.unwrap();
    assert!(said.starts_with("Unavailable"), "{said}");
    assert_eq!(running.peer.seen.len(), 2);
}

#[tokio::test]
async fn a_flush_skips_the_waits_and_delivers() {
    let address = free_address();
    let hour = Duration::from_hours(1);
    let slow = accelscope_export::otlp::RetryPolicy::new(hour, hour, hour).unwrap();
    let exporter =
        Exporter::with_retry_policy(vec![destination("d", Protocol::Grpc, &address.to_string())], slow).unwrap();
    let task = exporter.clone();
    tokio::spawn(async move { task.run().await });
    exporter.push(&[record(1)]);
    until("an attempt failed", || {
        exporter.state("d").unwrap().last_error.is_some()
    })
    .await;
    let running = grpc::Peer::new([]).start_at(address);
    exporter.push(&[record(2)]);
    let undelivered = exporter.flush(Instant::now() + PATIENCE).await;
    assert!(undelivered.is_empty(), "{undelivered:?}");
    assert_eq!(running.peer.accepted(), [1, 2]);
}

#[tokio::test]
async fn a_flush_ends_in_time_and_tells_what_is_left() {
    let running = grpc::Peer::new([grpc::Reply::Hang]).start();
    let refusing = http::Peer::new((0..9).map(|_| http::status(401))).start().await;
    let exporter = start(vec![
        destination("hangs", Protocol::Grpc, &running.address.to_string()),
        destination("closed", Protocol::Grpc, &free_address().to_string()),
        destination("refuses", Protocol::HttpProtobuf, &refusing.address.to_string()),
    ]);
    exporter.push(&[record(1), record(2)]);
    for name in ["closed", "refuses"] {
        until("an attempt failed", || {
            exporter.state(name).unwrap().last_error.is_some()
        })
        .await;
    }
    let begun = Instant::now();
    let undelivered = exporter.flush(begun + Duration::from_millis(500)).await;
    // The destination that hangs would take longer.
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    let left: Vec<_> = undelivered
        .iter()
        .map(|state| (state.name.as_str(), state.waiting.points))
        .collect();
    assert_eq!(left, [("hangs", 2), ("closed", 2), ("refuses", 2)]);
    assert!(
        undelivered[2]
            .last_error
            .as_ref()
            .is_some_and(|message| message.contains("401"))
    );
}

#[tokio::test]
async fn a_flush_of_a_refusing_destination_does_not_wait_for_the_deadline() {
    let refusing = http::Peer::new((0..99).map(|_| http::status(403))).start().await;
    let exporter = start(vec![destination(
        "d",
        Protocol::HttpProtobuf,
        &refusing.address.to_string(),
    )]);
    exporter.push(&[record(1)]);
    let begun = Instant::now();
    let undelivered = exporter.flush(begun + Duration::from_hours(1)).await;
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(undelivered.len(), 1);
}
