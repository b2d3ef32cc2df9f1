//! Over HTTP, each answer of a receiver has the effect that the OTLP specification and the documentation specify.

use std::time::{Duration, Instant, SystemTime};

use crate::peer::http::{Peer, Reply, Running, status};
use crate::peer::{destination, drained, record, start, until};
use accelscope_export::otlp::{Compression, Destination, Protocol, Secret};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;

fn to(running: &Running) -> Destination {
    destination("d", Protocol::HttpProtobuf, &running.address.to_string())
}

#[tokio::test]
async fn retryable_statuses_are_tried_again_until_the_records_arrive() {
    let running = Peer::new([408, 425, 429, 499, 502, 503, 504, 507, 522].map(status))
        .start()
        .await;
    let exporter = start(vec![to(&running)]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
    assert_eq!(running.peer.seen.len(), 10);
}

#[tokio::test]
async fn statuses_that_speak_of_the_data_drop_what_was_refused_twice_and_let_the_next_through() {
    for code in [400, 409, 413, 422, 500, 506] {
        let bad = status(code).body("bad points\nreally");
        let running = Peer::new([bad.clone(), bad]).start().await;
        let exporter = start(vec![to(&running)]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.dropped, 1, "{code}");
        exporter.push(&[record(2)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1, "{code}");
        assert_eq!(running.peer.seen.len(), 3, "{code} was not sent twice");
        let said = exporter.state("d").unwrap().last_error.unwrap();
        assert!(said.contains("bad points really"), "{said}");
    }
}

#[tokio::test]
async fn statuses_that_speak_of_the_configuration_hold_everything_until_they_are_mended() {
    let page = status(200)
        .header("content-type", "text/html; charset=utf-8")
        .body("<html>Welcome</html>");
    let moved = status(308).header("location", "https://elsewhere.example/v1/metrics");
    for (reply, reason) in [
        (status(401), "http_401"),
        (status(403), "http_403"),
        (status(402), "http_402"),
        (status(404), "http_404"),
        (status(405), "http_405"),
        (status(410), "http_410"),
        (status(415), "http_415"),
        (status(431), "http_431"),
        (status(501), "http_501"),
        (status(505), "http_505"),
        (status(511), "http_511"),
        (moved, "redirect"),
        (page, "not_otlp"),
    ] {
        let running = Peer::new([reply.clone(), reply]).start().await;
        let exporter = start(vec![to(&running)]);
        exporter.push(&[record(1), record(2)]);
        until("it is blocked", || exporter.state("d").unwrap().blocked == Some(reason)).await;
        let totals = drained(&exporter, "d").await;
        assert_eq!((totals.sent, totals.dropped), (2, 0), "{reason}");
        assert_eq!(exporter.state("d").unwrap().blocked, None);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_in_both_forms() {
    for is_date in [false, true] {
        let (begun, now) = (Instant::now(), SystemTime::now());
        let date = httpdate::fmt_http_date(now + Duration::from_secs(4));
        let asked = if is_date { date.clone() } else { "1".to_owned() };
        let running = Peer::new([status(503).header("retry-after", asked.clone())])
            .start()
            .await;
        let exporter = start(vec![to(&running)]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1);
        let times = running.peer.seen.map(|attempt| attempt.at);
        // A date may be near when the first answer arrives; the second request comes after it all the same.
        let (waited, least) = if is_date {
            let until = httpdate::parse_http_date(&date).unwrap();
            (times[1] - begun, until.duration_since(now).unwrap())
        } else {
            (times[1] - times[0], Duration::from_secs(1))
        };
        assert!(waited >= least, "{asked}: {waited:?}");
    }
}

#[tokio::test]
async fn a_retry_after_that_makes_no_sense_is_no_reason_to_wait() {
    let past = httpdate::fmt_http_date(SystemTime::now() - Duration::from_hours(1));
    let running =
        Peer::new(["soon".to_owned(), "-5".to_owned(), past].map(|text| status(429).header("retry-after", text)))
            .start()
            .await;
    let exporter = start(vec![to(&running)]);
    exporter.push(&[record(1)]);
    assert_eq!(drained(&exporter, "d").await.sent, 1);
}

#[tokio::test]
async fn a_413_is_answered_by_smaller_requests() {
    let running = Peer::new((0..40).map(|_| status(413).above(2))).start().await;
    let exporter = start(vec![to(&running)]);
    exporter.push(&(1..=7).map(record).collect::<Vec<_>>());
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (7, 0));
    assert_eq!(running.peer.accepted(), [1, 2, 3, 4, 5, 6, 7]);
}

fn partial(rejected_data_points: i64, error_message: &str) -> Reply {
    let error_message = error_message.to_owned();
    let partial_success = Some(ExportMetricsPartialSuccess {
        rejected_data_points,
        error_message,
    });
    let body = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
    status(200).header("content-type", "application/x-protobuf").body(body)
}

#[tokio::test]
async fn points_rejected_in_a_partial_success_are_counted_and_never_sent_again() {
    let running = Peer::new([partial(2, "two too old"), partial(0, "slow down")])
        .start()
        .await;
    let exporter = start(vec![to(&running)]);
    exporter.push(&[record(1), record(2), record(3)]);
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (1, 2));
    exporter.push(&[record(4)]);
    assert_eq!(drained(&exporter, "d").await.sent, 2);
    assert_eq!(running.peer.seen.len(), 2);
}

#[tokio::test]
async fn requests_carry_what_the_specification_asks_for_and_are_really_compressed() {
    for compression in [Compression::Gzip, Compression::None] {
        let running = Peer::new([]).start().await;
        let mut to = to(&running);
        to.compression = compression;
        let exporter = start(vec![to]);
        let sent = record(1);
        exporter.push(std::slice::from_ref(&sent));
        drained(&exporter, "d").await;
        running.peer.seen.map(|attempt| {
            let header = |name| attempt.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(
                (attempt.method.as_str(), attempt.path.as_str()),
                ("POST", "/v1/metrics")
            );
            assert_eq!(header("content-type"), Some("application/x-protobuf"));
            assert_eq!(header("x-tenant"), Some("lab"));
            let agent = header("user-agent").unwrap();
            assert!(
                agent.starts_with("accelscope/") && agent.contains(" OTel-OTLP-Exporter-Rust/"),
                "{agent}"
            );
            match compression {
                Compression::Gzip => {
                    assert_eq!(header("content-encoding"), Some("gzip"));
                    assert_eq!(attempt.body[..2], [0x1f, 0x8b]);
                }
                Compression::None => {
                    assert_eq!(header("content-encoding"), None);
                    assert_eq!(attempt.body, sent.bytes);
                }
            }
        });
    }
}

#[tokio::test]
async fn an_expired_token_is_mended_through_the_headers_file_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "# for the gateway\n\nauthorization: Bearer old\n").unwrap();
    let mut peer = Peer::new([]);
    peer.token = Some("Bearer new");
    let running = peer.start().await;
    let mut to = to(&running);
    to.headers_file = Some(file.clone());
    let exporter = start(vec![to]);
    exporter.push(&[record(1), record(2)]);
    until("it is blocked", || {
        exporter.state("d").unwrap().blocked == Some("http_401")
    })
    .await;
    std::fs::write(&file, "authorization: Bearer new\n").unwrap();
    let totals = drained(&exporter, "d").await;
    assert_eq!((totals.sent, totals.dropped), (2, 0));
    assert_eq!(running.peer.accepted(), [1, 2]);
}

#[tokio::test]
async fn a_headers_file_that_is_gone_holds_the_queue_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "authorization: Bearer new\n").unwrap();
    let mut peer = Peer::new([]);
    peer.token = Some("Bearer new");
    let running = peer.start().await;
    let mut to = to(&running);
    to.headers_file = Some(file.clone());
    let exporter = accelscope_export::otlp::Exporter::with_retry_policy(vec![to], crate::peer::retry_policy()).unwrap();
    std::fs::remove_file(&file).unwrap();
    exporter.push(&[record(1)]);
    let task = exporter.clone();
    tokio::spawn(async move { task.run().await });
    until("it is blocked", || {
        exporter.state("d").unwrap().blocked == Some("configuration")
    })
    .await;
    let said = exporter.state("d").unwrap().last_error.unwrap();
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    std::fs::write(&file, "authorization: Bearer new\n").unwrap();
    assert_eq!(drained(&exporter, "d").await.sent, 1);
}

#[tokio::test]
async fn what_a_receiver_repeats_of_keys_and_tokens_is_in_no_message() {
    let moved = status(308).header("location", "https://elsewhere.example/v1/metrics?key=hunter2");
    let told = status(400).body("no such key: key=hunter2, and Bearer hunter3 (hunter3) is expired");
    let running = Peer::new([moved, told]).start().await;
    let mut to = to(&running);
    to.endpoint.set_query(Some("key=hunter2"));
    to.headers = vec![("authorization".to_owned(), Secret::new("Bearer hunter3"))];
    let exporter = start(vec![to]);
    let said = |what: &'static str| {
        let exporter = exporter.clone();
        async move {
            until(what, || {
                let error = exporter.state("d").unwrap().last_error;
                error.is_some_and(|error| error.contains(what))
            })
            .await;
            exporter.state("d").unwrap().last_error.unwrap()
        }
    };
    exporter.push(&[record(1)]);
    let redirected = said("elsewhere.example").await;
    let refused = said("no such key").await;
    for message in [redirected, refused] {
        assert!(!message.contains("hunter") && message.contains('…'), "{message}");
    }
    assert_eq!(running.peer.seen.map(|attempt| attempt.path.clone())[0], "/v1/metrics");
}

/// A token is often longer than what a message shows, and a key is one value of a query.
#[tokio::test]
async fn no_part_of_a_long_token_and_no_value_of_a_query_is_in_a_message() {
    let token = "tok3n".repeat(160);
    let told = status(401).body(format!("bad token {token} for hunter2%21, that is hunter2!"));
    let running = Peer::new([told]).start().await;
    let mut to = to(&running);
    to.endpoint.set_query(Some("team=ml&key=hunter2%21"));
    to.headers = vec![("authorization".to_owned(), Secret::new(format!("Bearer {token}")))];
    let exporter = start(vec![to]);
    exporter.push(&[record(1)]);
    until("the refusal", || exporter.state("d").unwrap().last_error.is_some()).await;
    let message = exporter.state("d").unwrap().last_error.unwrap();
    assert!(message.contains("bad token …"), "{message}");
    assert!(!message.contains("tok3n") && !message.contains("hunter"), "{message}");
}

/// Where the text of the answer is cut, and where the receiver writes it in the encoding of its answer.
#[tokio::test]
async fn no_part_of_a_token_is_in_a_message_wherever_and_however_it_is_repeated() {
    let token = "Abcd1234efgh/Ijkl5678mnop+Qrst9012uvwx";
    let json = |body: String| status(200).header("content-type", "application/json").body(body);
    let pad = |length| " ".repeat(length);
    for told in [
        json(format!(
            "{{\"pad\":\"{}\",\"got\":\"Bearer {token}\"}}",
            "x".repeat(150)
        )),
        json(format!("{{\"got\":\"Bearer {}\"}}", token.replace('/', "\\/"))),
        status(401).body(format!("{}Authorization: Bearer {token}", pad(4060))),
        status(401).body(format!("{}Authorization: Bearer {token}", pad(64 * 1024 - 40))),
        status(401).body(format!("bad token {}", token.replace('/', "%2F").replace('+', "%2B"))),
        status(401).body(format!(
            "bad token {}",
            token.replace('/', "&#x2F;").replace('+', "&#43;")
        )),
    ] {
        let running = Peer::new([told]).start().await;
        let mut to = to(&running);
        to.headers = vec![("authorization".to_owned(), Secret::new(format!("Bearer {token}")))];
        let exporter = start(vec![to]);
        exporter.push(&[record(1)]);
        until("the refusal", || exporter.state("d").unwrap().last_error.is_some()).await;
        let message = exporter.state("d").unwrap().last_error.unwrap();
        for part in ["Abcd", "efgh", "Ijkl", "mnop", "Qrst", "uvwx"] {
            assert!(!message.contains(part), "{part}: {message}");
        }
    }
}

/// What stands before a secret is none, nor is the agent's own name.
#[tokio::test]
async fn what_only_names_a_key_stays_in_a_message() {
    for told in [
        "accelscope, an Exporter, sent no subscription-key",
        "no key; expected: Bearer",
        "no key; expected one that begins with Bear",
    ] {
        let running = Peer::new([status(401).body(told)]).start().await;
        let mut to = to(&running);
        to.endpoint.set_query(Some("subscription-key=hunter2"));
        to.headers = vec![("authorization".to_owned(), Secret::new("Bearer hunter3"))];
        let exporter = start(vec![to]);
        exporter.push(&[record(1)]);
        until("the refusal", || exporter.state("d").unwrap().last_error.is_some()).await;
        let message = exporter.state("d").unwrap().last_error.unwrap();
        assert!(message.ends_with(told), "{message}");
    }
}
