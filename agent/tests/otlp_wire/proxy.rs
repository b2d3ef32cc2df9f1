//! Destinations behind an HTTP proxy.

use std::net::SocketAddr;
use std::time::Duration;

use accelscope_export::Proxy;
use accelscope_export::otlp::{Destination, Exporter, Protocol};

use crate::peer::proxy::{Conduct, Peer, refuses};
use crate::peer::{destination, drained, grpc, http, pem, record, start, until};
use crate::tls::{serve, tls_destination};

/// Timeout of a request where the first ones hang. Those after them must not take so long.
const HANG: Duration = Duration::from_secs(3);

const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

/// A destination whose name only the proxy can resolve.
fn behind(protocol: Protocol, proxy: SocketAddr) -> Destination {
    let mut to = destination("d", protocol, "collector.invalid:4317");
    to.proxy = Some(Proxy::parse("HTTP_PROXY", &format!("http://me:hunt%3Aer2@{proxy}")).unwrap());
    to
}

/// The receivers of both protocols.
async fn receiver(protocol: Protocol, grpc: &grpc::Peer, http: &http::Peer) -> SocketAddr {
    match protocol {
        Protocol::Grpc => grpc.clone().start().address,
        Protocol::HttpProtobuf => http.clone().start().await.address,
    }
}

/// Sends a record, the `nth` in all.
async fn sent(exporter: &Exporter, nth: u64) {
    exporter.push(&[record(1)]);
    assert_eq!(drained(exporter, "d").await.sent, nth);
}

async fn failed(exporter: &Exporter) -> String {
    exporter.push(&[record(1)]);
    until("an attempt failed", || {
        exporter.state("d").unwrap().last_error.is_some()
    })
    .await;
    exporter.state("d").unwrap().last_error.unwrap()
}

#[tokio::test]
async fn without_tls_grpc_is_tunnelled_and_http_is_forwarded() {
    for protocol in PROTOCOLS {
        let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
        let proxy = Peer::start(receiver(protocol, &grpc, &http).await, [], false).await;
        let exporter = start(vec![behind(protocol, proxy.address)]);
        sent(&exporter, 1).await;
        sent(&exporter, 2).await;
        let (line, arrived) = match protocol {
            Protocol::Grpc => ("CONNECT collector.invalid:4317 HTTP/1.1", grpc.accepted()),
            Protocol::HttpProtobuf => (
                "POST http://collector.invalid:4317/v1/metrics HTTP/1.1",
                http.accepted(),
            ),
        };
        assert_eq!(arrived, [1, 1]);
        // One connection is used for both requests.
        assert_eq!(proxy.lines(), [line]);
        let credentials = proxy
            .heads
            .map(|head| head.contains("proxy-authorization: basic bwu6ahvuddplcji="));
        assert_eq!(credentials, [true], "me:hunt:er2 in Base64");
    }
}

#[tokio::test]
async fn with_tls_both_protocols_are_tunnelled_to_the_receiver_whose_certificate_counts() {
    for (protocol, is_tls) in PROTOCOLS.into_iter().flat_map(|p| [(p, false), (p, true)]) {
        let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
        let address: SocketAddr = serve(&grpc, &http).parse().unwrap();
        let proxy = Peer::start(address, [], is_tls).await;
        let mut to = tls_destination(protocol, &format!("localhost:{}", address.port()));
        to.tls.cert_file = Some(pem("client.pem"));
        to.tls.key_file = Some(pem("client.key"));
        let scheme = if is_tls { "https" } else { "http" };
        to.proxy = Some(Proxy::parse("HTTPS_PROXY", &format!("{scheme}://{}", proxy.address)).unwrap());
        let exporter = start(vec![to]);
        sent(&exporter, 1).await;
        assert_eq!(grpc.accepted().len() + http.accepted().len(), 1, "{protocol:?}");
        assert_eq!(
            proxy.lines(),
            [format!("CONNECT localhost:{} HTTP/1.1", address.port())],
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_proxy_and_its_variable_and_the_points_wait() {
    for (answer, said, remedy) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            "407",
            "user and password in HTTP_PROXY",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n",
            "403",
            "allow CONNECT",
        ),
        (
            "HTTP/1.0 502 Bad Gateway\r\n\r\n<html>",
            "502",
            "cannot reach the destination",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", "as an HTTP proxy does", "correct HTTP_PROXY"),
    ] {
        let grpc = grpc::Peer::new([]);
        let receiver = grpc.clone().start().address;
        let proxy = Peer::start(receiver, std::iter::repeat_n(refuses(answer), 2), false).await;
        let exporter = start(vec![behind(Protocol::Grpc, proxy.address)]);
        let error = failed(&exporter).await;
        let named = format!("the proxy http://{} (HTTP_PROXY)", proxy.address);
        for part in [named.as_str(), said, remedy] {
            assert!(error.contains(part), "{part} is missing: {error}");
        }
        assert!(!error.contains("hunt"), "{error}");
        // The third attempt passes.
        assert_eq!(drained(&exporter, "d").await.sent, 1);
        assert_eq!(proxy.lines().len(), 3);
    }
}

#[tokio::test]
async fn credentials_that_a_forwarding_proxy_wants_are_no_refusal_of_the_points() {
    let http = http::Peer::new([]);
    let receiver = http.clone().start().await.address;
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let proxy = Peer::start(receiver, [refuses(refusal)], false).await;
    let mut to = behind(Protocol::HttpProtobuf, proxy.address);
    to.proxy = Some(Proxy::parse("all_proxy", &proxy.address.to_string()).unwrap());
    let exporter = start(vec![to]);
    let error = failed(&exporter).await;
    assert!(
        error.contains(&format!("{} (all_proxy)", proxy.address))
            && error.contains("write user and password into all_proxy"),
        "{error}"
    );
    assert_eq!(drained(&exporter, "d").await.sent, 1);
}

#[tokio::test]
async fn a_proxy_that_is_away_hangs_or_closes_is_named_and_nothing_is_lost() {
    for protocol in PROTOCOLS {
        for conduct in [Conduct::Hang, Conduct::Close] {
            let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
            let receiver = receiver(protocol, &grpc, &http).await;
            let proxy = Peer::start(receiver, [conduct], false).await;
            let mut to = behind(protocol, proxy.address);
            to.timeout = HANG;
            let exporter = start(vec![to]);
            let error = failed(&exporter).await;
            assert!(
                error.contains(&format!("http://{} (HTTP_PROXY)", proxy.address)),
                "{error}"
            );
            assert_eq!(drained(&exporter, "d").await.sent, 1);
        }
        let away = free_port::free_address();
        let exporter = start(vec![behind(protocol, away)]);
        let error = failed(&exporter).await;
        assert!(
            error.contains(&format!("the proxy http://{away} (HTTP_PROXY) cannot be reached")),
            "{error}"
        );
        assert_eq!(exporter.state("d").unwrap().waiting.points, 1);
    }
}

/// A hang before the request begins says nothing of its size: what waits goes out as it would have.
#[tokio::test]
async fn requests_stay_large_where_the_way_to_the_receiver_hangs_before_they_begin() {
    for protocol in PROTOCOLS {
        let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
        let address: SocketAddr = serve(&grpc, &http).parse().unwrap();
        let proxy = Peer::start(address, [Conduct::Hang, Conduct::Hang], false).await;
        let mut to = tls_destination(protocol, &format!("localhost:{}", address.port()));
        to.proxy = Some(Proxy::parse("HTTPS_PROXY", &format!("http://{}", proxy.address)).unwrap());
        to.tls.cert_file = Some(pem("client.pem"));
        to.tls.key_file = Some(pem("client.key"));
        to.timeout = HANG;
        whole_after_a_hang(to, &grpc, &http).await;
        assert_eq!(proxy.lines().len(), 3, "{protocol:?}");
    }
}

/// The same for a peer that accepts the connection and is silent in the handshake of TLS.
#[tokio::test]
async fn requests_stay_large_where_the_handshake_hangs() {
    for protocol in PROTOCOLS {
        let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
        let address: SocketAddr = serve(&grpc, &http).parse().unwrap();
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut to = tls_destination(protocol, &format!("localhost:{}", door.local_addr().unwrap().port()));
        to.tls.cert_file = Some(pem("client.pem"));
        to.tls.key_file = Some(pem("client.key"));
        to.timeout = HANG;
        tokio::spawn(async move {
            let _silent = [door.accept().await.unwrap(), door.accept().await.unwrap()];
            loop {
                let (mut from, _) = door.accept().await.unwrap();
                let mut onward = tokio::net::TcpStream::connect(address).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut onward).await.ok() });
            }
        });
        whole_after_a_hang(to, &grpc, &http).await;
    }
}

/// Forty points arrive in one request, in spite of attempts that hang.
async fn whole_after_a_hang(to: Destination, grpc: &grpc::Peer, http: &http::Peer) {
    // The first attempt has it all.
    let exporter = Exporter::with_retry_policy(vec![to], crate::peer::retry_policy()).unwrap();
    exporter.push(&(1..=40).map(record).collect::<Vec<_>>());
    let running = exporter.clone();
    tokio::spawn(async move { running.run().await });
    until("an attempt failed", || {
        exporter.state("d").unwrap().last_error.is_some()
    })
    .await;
    let error = exporter.state("d").unwrap().last_error.unwrap();
    assert!(error.contains("no connection within 3s"), "{error}");
    assert_eq!(drained(&exporter, "d").await.sent, 40);
    assert_eq!(grpc.accepted().len() + http.accepted().len(), 40);
    assert_eq!(grpc.seen.len() + http.seen.len(), 1, "the request was divided");
}
