//! Over gRPC, each answer of a receiver has the effect that the OTLP specification and the documentation specify.

use std::time::Duration;

use crate::peer::grpc::{Peer, Reply};
use crate::peer::{destination, drained, large_record, record, start, until};
use accelscope_export::otlp::{Compression, Protocol};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

fn fail(code: Code) -> Reply {
    Reply::Fail(Status::new(code, "scripted"))
}

fn fail_after(code: Code, delay: Duration) -> Reply {
    Reply::Fail(Status::with_error_details(
        code,
        "scripted",
        ErrorDetails::with_retry_info(Some(delay)),
    ))
}

#[tokio::test]
async fn retryable_codes_are_tried_again_until_the_records_arrive() {
    let codes = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unavailable,
        Code::DataLoss,
    ];
    let running = Peer::new(codes.map(fail)).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
    assert_eq!(running.peer.seen.len(), codes.len() + 1);
    assert_eq!(running.peer.accepted(), [1]);
}

#[tokio::test]
async fn codes_that_speak_of_the_data_drop_what_was_refused_twice_and_let_the_next_through() {
    let codes = [
        Code::Unknown,
        Code::InvalidArgument,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::Internal,
        Code::ResourceExhausted,
    ];
    for code in codes {
        let running = Peer::new([fail(code), fail(code)]).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.dropped, 1, "{code:?}");
        exporter.push(&[record(2)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1, "{code:?}");
        assert_eq!(running.peer.seen.len(), 3, "{code:?} was not sent twice");
        let said = exporter.state("d").unwrap().last_error.unwrap();
        assert!(said.contains("scripted"), "{said}");
    }
}

#[tokio::test]
async fn codes_that_speak_of_the_configuration_hold_everything_until_they_are_mended() {
    for (code, reason) in [
        (Code::Unauthenticated, "unauthenticated"),
        (Code::PermissionDenied, "permission_denied"),
        (Code::Unimplemented, "unimplemented"),
        (Code::NotFound, "not_found"),
    ] {
        let running = Peer::new([fail(code), fail(code)]).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1), record(2), record(3)]);
        until("it is blocked", || exporter.state("d").unwrap().blocked == Some(reason)).await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (3, 0));
        assert_eq!(exporter.state("d").unwrap().blocked, None);
        assert_eq!(running.peer.accepted(), [1, 2, 3]);
        let sizes = running.peer.seen.map(|attempt| attempt.ids.len());
        assert_eq!(sizes[1..3], [1, 1], "a probe carries more than one record: {sizes:?}");
    }
}

#[tokio::test]
async fn retry_info_is_waited_for_and_makes_exhaustion_retryable() {
    let delay = Duration::from_millis(300);
    for code in [Code::ResourceExhausted, Code::Unavailable] {
        let running = Peer::new([fail_after(code, delay)]).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1);
        let times = running.peer.seen.map(|attempt| attempt.at);
        assert!(times[1] - times[0] >= delay, "{:?}", times[1] - times[0]);
    }
}

#[tokio::test]
async fn a_joined_request_that_is_too_much_goes_in_pieces_and_only_the_poison_is_dropped() {
    let exhausted = || Status::resource_exhausted("too many points");
    let replies = (0..40).map(|_| Reply::AtMost(2, exhausted()));
    let running = Peer::new(replies).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&(1..=8).map(record).collect::<Vec<_>>());
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (8, 0));
    assert_eq!(running.peer.accepted(), [1, 2, 3, 4, 5, 6, 7, 8]);

    // All three, the first, and the first again.
    let refused = || Status::invalid_argument("point 3 is poison");
    let running = Peer::new([(); 3].map(|()| Reply::AtMost(0, refused()))).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1), record(2), record(3)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (2, 1));
    assert_eq!(running.peer.accepted(), [2, 3]);
}

#[tokio::test]
async fn points_rejected_in_a_partial_success_are_counted_and_never_sent_again() {
    let running = Peer::new([Reply::Partial(2, "two too old".to_owned())]).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1), record(2), record(3)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (1, 2));
    assert_eq!(running.peer.seen.len(), 1);
}

#[tokio::test]
async fn a_partial_success_that_claims_more_than_was_sent_does_not_break_the_books() {
    for claimed in [i64::MAX, -5] {
        let running = Peer::new([Reply::Partial(claimed, String::new())]).start();
        let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.dropped, u64::from(claimed > 0));
    }
}

#[tokio::test]
async fn a_receiver_that_accepts_and_hangs_is_left_at_the_timeout() {
    let running = Peer::new([Reply::Hang]).start();
    let mut to = destination("d", Protocol::Grpc, &running.address.to_string());
    to.timeout = Duration::from_secs(2);
    let exporter = start(vec![to]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
    assert!(running.peer.seen.len() >= 2, "it was not left");
    let said = exporter.state("d").unwrap().last_error.unwrap();
    assert!(said.contains("2s"), "{said}");
}

#[tokio::test]
async fn an_answer_beyond_4_mib_is_not_read_and_the_request_is_not_repeated() {
    let running = Peer::new([Reply::Partial(0, "x".repeat(5 << 20))]).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.dropped, 1);
    assert_eq!(running.peer.seen.len(), 1);
}

#[tokio::test]
async fn requests_carry_headers_and_agent_and_are_compressed_as_configured() {
    for (compression, expected) in [(Compression::Gzip, Some("gzip")), (Compression::None, None)] {
        let running = Peer::new([]).start();
        let mut to = destination("d", Protocol::Grpc, &running.address.to_string());
        to.compression = compression;
        let exporter = start(vec![to]);
        exporter.push(&[record(1)]);
        drained(&exporter, "d").await;
        let header = |name: &'static str| {
            running
                .peer
                .seen
                .map(|a| a.metadata.get(name).map(|v| v.to_str().unwrap().to_owned()))
                .remove(0)
        };
        assert_eq!(header("grpc-encoding").as_deref(), expected);
        assert_eq!(header("x-tenant").as_deref(), Some("lab"));
        let agent = header("user-agent").unwrap();
        assert!(
            agent.starts_with("accelscope/") && agent.contains(" OTel-OTLP-Exporter-Rust/"),
            "{agent}"
        );
    }
}

#[tokio::test]
async fn a_backlog_is_joined_below_the_4_mib_that_a_server_takes() {
    let running = Peer::new([fail(Code::Unavailable)]).start();
    let exporter = start(vec![destination("d", Protocol::Grpc, &running.address.to_string())]);
    let records: Vec<_> = (1..=9).map(|id| large_record(id, 1_000_000)).collect();
    assert!(
        records.iter().all(|record| record.size() > 900_000),
        "{}",
        records[0].size()
    );
    exporter.push(&records);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (9, 0));
    assert_eq!(running.peer.accepted(), (1..=9).collect::<Vec<_>>());
    let sizes = running.peer.seen.map(|attempt| attempt.ids.len());
    assert_eq!(sizes, [3, 3, 3, 3]);
}
