//! A backlog drains over a link that carries little more than what is added.

use std::net::SocketAddr;
use std::time::Duration;

use crate::peer::http::Peer;
use crate::peer::{destination, large_record, start, until};
use accelscope_export::otlp::{Compression, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

/// Passes on what it gets for `to`, at 4 bytes a millisecond for each connection.
fn slow_link(to: SocketAddr) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    // What the system holds has passed for the sender.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener: TcpListener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (from, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from_read, mut from_write) = from.into_split();
                let (mut to_read, mut to_write) = TcpStream::connect(to).await.unwrap().into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut to_read, &mut from_write).await });
                let mut bytes = [0; 500];
                // By the clock: a sleep that ends late delays nothing after it.
                let mut passed = Instant::now();
                while let Ok(read @ 1..) = from_read.read(&mut bytes).await {
                    passed += Duration::from_millis(read as u64 / 4);
                    tokio::time::sleep_until(passed).await;
                    if to_write.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    address
}

#[tokio::test]
async fn a_backlog_that_no_request_can_carry_in_time_drains_oldest_first() {
    let running = Peer::new([]).start().await;
    let link = slow_link(running.address);
    let mut to = destination("d", Protocol::HttpProtobuf, &link.to_string());
    to.compression = Compression::None;
    to.timeout = Duration::from_secs(2);
    let exporter = start(vec![to]);
    // 60 kB, of which 8 kB pass within the timeout; the largest record does not either.
    let mut records: Vec<_> = (1..=12).map(|id| large_record(id, 4000)).collect();
    records.push(crate::peer::record_of(13..=500));
    exporter.push(&records);
    let begun = Instant::now();
    while exporter.state("d").unwrap().waiting.points > 0 {
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", exporter.state("d"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let totals = exporter.state("d").unwrap().totals;
    assert_eq!((totals.sent, totals.dropped), (500, 0));
    until("all arrived", || running.peer.accepted().last() == Some(&500)).await;
    // What was sent again after a timeout may arrive twice; the first of each are in order.
    let mut newest = 0;
    for id in running.peer.accepted() {
        assert!(id <= newest + 1, "{id} came before {}", newest + 1);
        newest = newest.max(id);
    }
    assert_eq!(newest, 500);
}
