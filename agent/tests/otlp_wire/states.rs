//! What the log says of a receiver that goes and comes.

use std::time::Instant;

use crate::logs;
use crate::peer::http::{Peer, status};
use crate::peer::{destination, drained, record, start, until};
use accelscope_export::otlp::Protocol;

#[tokio::test]
async fn every_failure_recovery_and_relapse_is_logged_at_once() {
    logs::record();
    let running = Peer::new([]).start().await;
    let mut to = destination("relapse", Protocol::HttpProtobuf, &running.address.to_string());
    to.name = "relapse".to_owned();
    let exporter = start(vec![to]);
    for (id, code) in [(1, 503), (2, 503), (3, 502)] {
        // A first and a second failure of the same reason, and one of another.
        running.peer.script.add(status(code));
        exporter.push(&[record(id)]);
        drained(&exporter, "relapse").await;
        until("the recovery is logged", || {
            let lines = logs::of("relapse");
            lines
                .iter()
                .filter(|line| line.contains("accepts points again"))
                .count()
                == id as usize
        })
        .await;
    }
    let failures: Vec<_> = logs::of("relapse")
        .into_iter()
        .filter(|line| line.contains("destination failed"))
        .collect();
    assert_eq!(failures.len(), 3, "{failures:#?}");
    assert!(
        failures[0].contains("http_503") && failures[1].contains("http_503"),
        "{failures:#?}"
    );
    assert!(failures[2].contains("http_502"), "{failures:#?}");
}

#[tokio::test]
async fn a_reason_that_becomes_another_is_logged_and_flapping_is_bounded() {
    logs::record();
    let codes = [503, 502, 401, 503];
    let begun = Instant::now();
    let running = Peer::new(codes.map(status)).start().await;
    let exporter = start(vec![destination(
        "changes",
        Protocol::HttpProtobuf,
        &running.address.to_string(),
    )]);
    exporter.push(&[record(1)]);
    drained(&exporter, "changes").await;
    until("the recovery is logged", || {
        logs::of("changes")
            .iter()
            .any(|line| line.contains("accepts points again"))
    })
    .await;
    let said = logs::of("changes");
    for (line, code) in said.iter().zip(codes) {
        assert!(line.contains(&format!("http_{code}")), "{said:#?}");
    }
    for id in 2..=60 {
        running.peer.script.add(status(503));
        exporter.push(&[record(id)]);
        drained(&exporter, "changes").await;
    }
    let lines = logs::of("changes").len();
    // One more each half a minute.
    let most = 15 + begun.elapsed().as_secs() / 30;
    assert!((8..=most).contains(&(lines as u64)), "{lines} lines for 120 changes");
}
