//! Each cause of a failure has the remedy that helps against it.

use crate::logs;
use crate::peer::http::{Peer, Reply, status};
use crate::peer::{destination, grpc, pem, record, start, until};
use crate::tls::{serve_with, tls_destination};
use accelscope_export::otlp::{Compression, Destination, Exporter, Protocol};
use free_port::free_address;
use tonic::{Code, Status};

/// Fails unless the log says both of this destination, which fails.
pub(crate) async fn assert_advised(to: Destination, reason: &str, remedy: &str) -> Exporter {
    logs::record();
    let name = to.name.clone();
    let exporter = start(vec![to]);
    exporter.push(&[record(1)]);
    until(&format!("the log advises \"{remedy}\" on {name}"), || {
        let reason = format!("reason=\"{reason}\"");
        logs::of(&name)
            .iter()
            .any(|line| line.contains(&reason) && line.contains(remedy))
    })
    .await;
    assert_eq!(exporter.state(&name).unwrap().totals.dropped, 0);
    exporter
}

fn often(reply: &Reply) -> Vec<Reply> {
    vec![reply.clone(); 3]
}

#[tokio::test]
async fn statuses() {
    let page = |code| status(code).header("content-type", "text/html").body("<html>");
    for (at, (reply, path, compression, reason, remedy)) in [
        (
            status(429),
            "/v1/metrics",
            Compression::Gzip,
            "http_429",
            "otlp.interval",
        ),
        (
            status(405),
            "/v1/metrics",
            Compression::Gzip,
            "http_405",
            "takes no POST",
        ),
        (
            status(415),
            "/v1/metrics",
            Compression::Gzip,
            "http_415",
            "compression = \"none\"",
        ),
        (
            status(415),
            "/v1/metrics",
            Compression::None,
            "http_415",
            "takes no protobuf",
        ),
        (
            status(404),
            "/v1/metrics",
            Compression::Gzip,
            "http_404",
            "/api/v1/otlp/v1/metrics",
        ),
        (
            status(404),
            "/api/v1/otlp/v1/metrics",
            Compression::Gzip,
            "http_404",
            "--web.enable-otlp-receiver",
        ),
        (
            status(404),
            "/prom/api/v1/otlp/v1/metrics",
            Compression::Gzip,
            "http_404",
            "--web.enable-otlp-receiver",
        ),
        (
            status(401),
            "/v1/metrics",
            Compression::Gzip,
            "http_401",
            "headers_file",
        ),
        (
            status(403),
            "/v1/metrics",
            Compression::Gzip,
            "http_403",
            "give them the right",
        ),
        (
            page(502),
            "/v1/metrics",
            Compression::Gzip,
            "http_502",
            "does not reach the receiver",
        ),
        (
            page(200),
            "/v1/metrics",
            Compression::Gzip,
            "not_otlp",
            "no OTLP receiver",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let running = Peer::new(often(&reply)).start().await;
        let mut to = destination(
            &format!("status{at}"),
            Protocol::HttpProtobuf,
            &running.address.to_string(),
        );
        to.endpoint.set_path(path);
        to.compression = compression;
        assert_advised(to, reason, remedy).await;
    }
}

#[tokio::test]
async fn refusals_that_do_not_speak_of_the_data() {
    for (at, (reply, remedy)) in [
        (
            status(400).body("Client sent an HTTP request to an HTTPS server."),
            "write https://",
        ),
        (
            status(400).body("No required SSL certificate was sent"),
            "set cert_file and key_file",
        ),
        (status(497), "write https://"),
    ]
    .into_iter()
    .enumerate()
    {
        let reason = if reply.status == 400 { "http_400" } else { "http_4xx" };
        let running = Peer::new(often(&reply)).start().await;
        let name = format!("not of the data {at}");
        let to = destination(&name, Protocol::HttpProtobuf, &running.address.to_string());
        assert_advised(to, reason, remedy).await;
    }
}

#[tokio::test]
async fn statuses_over_grpc() {
    let page = |code| status(code).header("content-type", "text/html").body("<html>");
    for (at, (reply, remedy)) in [
        (page(404), "no OTLP metrics service"),
        (page(415), "compression = \"none\""),
    ]
    .into_iter()
    .enumerate()
    {
        let reason = format!("http_{}", reply.status);
        let running = Peer::new(often(&reply)).start_for_grpc();
        let to = destination(&format!("proxied{at}"), Protocol::Grpc, &running.address.to_string());
        assert_advised(to, &reason, remedy).await;
    }
}

#[tokio::test]
async fn codes() {
    let no_gzip = "grpc: Decompressor is not installed for grpc-encoding \"gzip\"";
    for (code, said, reason, remedy) in [
        (Code::Unimplemented, no_gzip, "unimplemented", "compression = \"none\""),
        (
            Code::Unimplemented,
            "unknown service",
            "unimplemented",
            "no OTLP metrics service",
        ),
        (Code::NotFound, "no such tenant", "not_found", "no OTLP metrics service"),
        (
            Code::ResourceExhausted,
            "rate limit",
            "resource_exhausted",
            "otlp.interval",
        ),
    ] {
        let replies = [(); 1].map(|()| grpc::Reply::Fail(Status::new(code, said)));
        let running = grpc::Peer::new(replies).start();
        let to = destination(&format!("code {said:.5}"), Protocol::Grpc, &running.address.to_string());
        assert_advised(to, reason, remedy).await;
    }
}

#[tokio::test]
async fn connections() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let closed = destination(&format!("closed {protocol:?}"), protocol, &free_address().to_string());
        assert_advised(closed, "refused", "nothing listens there").await;
        // A label of a name has at most 63 characters, so that no server is asked.
        let nameless = format!("{}.invalid:4317", "x".repeat(64));
        let nameless = destination(&format!("nameless {protocol:?}"), protocol, &nameless);
        assert_advised(nameless, "dns", "the host has no address").await;
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hangs = destination("hangs", Protocol::Grpc, &silent.local_addr().unwrap().to_string());
    hangs.timeout = std::time::Duration::from_millis(100);
    assert_advised(hangs, "timeout", "raise timeout").await;
}

#[tokio::test]
async fn certificates() {
    let (grpc, http) = (grpc::Peer::new([]), Peer::new([]));
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        for (certificate, ca, reason, remedy) in [
            ("expired", "dated-ca", "tls_expired", "renew it there"),
            ("early", "dated-ca", "tls_not_yet_valid", "set the clock of this node"),
            ("server", "dated-ca", "tls_unknown_issuer", "ca_file"),
            (
                "server",
                "ca",
                "tls_client_certificate_required",
                "set cert_file and key_file",
            ),
        ] {
            let address = serve_with(&grpc, &http, certificate);
            let mut to = tls_destination(protocol, &address);
            to.name = format!("{certificate} {ca} {protocol:?}");
            to.tls.ca_file = Some(pem(&format!("{ca}.pem")));
            assert_advised(to, reason, remedy).await;
        }
        let address = serve_with(&grpc, &http, "server");
        let mut stranger = tls_destination(protocol, &address);
        stranger.name = format!("stranger {protocol:?}");
        stranger.tls.cert_file = Some(pem("stranger.pem"));
        stranger.tls.key_file = Some(pem("dated.key"));
        assert_advised(stranger, "tls_client_unknown_ca", "does not know the authority").await;
        // What listens there speaks no TLS.
        let plain = Peer::new([]).start().await;
        let mut to = tls_destination(protocol, &plain.address.to_string());
        to.name = format!("plain {protocol:?}");
        assert_advised(to, "no_tls", "write http://").await;
    }
    assert_eq!((grpc.seen.len(), http.seen.len()), (0, 0));
}
