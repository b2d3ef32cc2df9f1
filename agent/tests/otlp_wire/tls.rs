//! TLS with files: a private certificate authority, and a client certificate.
//!
//! The certificates under `pem/` are valid for a hundred years and used only here.

use accelscope_export::otlp::{BuildError, Destination, Exporter, Protocol, TlsFiles};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::peer::{destination, drained, grpc, http, pem, record, start, until};

pub(crate) fn tls_destination(protocol: Protocol, address: &str) -> Destination {
    let mut to = destination("d", protocol, address);
    to.endpoint.set_scheme("https").unwrap();
    to.tls.ca_file = Some(pem("ca.pem"));
    to
}

/// Both receivers behind TLS that asks for a client certificate.
pub(crate) fn serve(grpc: &grpc::Peer, http: &http::Peer) -> String {
    serve_with(grpc, http, "server")
}

/// The same with the certificate of this name; of one from `dated-ca.pem` the key is `dated.key`.
pub(crate) fn serve_with(grpc: &grpc::Peer, http: &http::Peer, certificate: &str) -> String {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let read = |name: &str| std::fs::read(pem(name)).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(
            read(&format!("{certificate}.pem")),
            read(if certificate == "server" {
                "server.key"
            } else {
                "dated.key"
            }),
        ))
        .client_ca_root(Certificate::from_pem(read("ca.pem")));
    let service = MetricsServiceServer::new(grpc.clone()).accept_compressed(CompressionEncoding::Gzip);
    let routes = Routes::from(http.router()).add_service(service);
    let server = Server::builder()
        .accept_http1(true)
        .tls_config(tls)
        .unwrap()
        .add_routes(routes);
    tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    address
}

#[tokio::test]
async fn both_protocols_work_with_a_private_authority_and_a_client_certificate() {
    let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
    let address = serve(&grpc, &http);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let mut to = tls_destination(protocol, &address);
        to.tls.cert_file = Some(pem("client.pem"));
        to.tls.key_file = Some(pem("client.key"));
        let exporter = start(vec![to]);
        exporter.push(&[record(1)]);
        assert_eq!(drained(&exporter, "d").await.sent, 1, "{protocol:?}");
    }
    assert_eq!((grpc.accepted(), http.accepted()), (vec![1], vec![1]));
}

#[tokio::test]
async fn without_the_right_certificates_nothing_is_sent_and_nothing_lost() {
    let (grpc, http) = (grpc::Peer::new([]), http::Peer::new([]));
    let address = serve(&grpc, &http);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let no_client_certificate = tls_destination(protocol, &address);
        let mut stranger = no_client_certificate.clone();
        stranger.tls.ca_file = Some(pem("client.pem"));
        for to in [no_client_certificate, stranger] {
            let exporter = start(vec![to]);
            exporter.push(&[record(1)]);
            until("an attempt failed", || {
                exporter.state("d").unwrap().last_error.is_some()
            })
            .await;
            assert_eq!(exporter.state("d").unwrap().waiting.points, 1);
        }
    }
    assert_eq!((grpc.seen.len(), http.seen.len()), (0, 0));
}

#[test]
fn unusable_files_are_named_before_anything_is_sent() {
    let wrong = |change: fn(&mut TlsFiles)| {
        let mut to = tls_destination(Protocol::Grpc, "127.0.0.1:1");
        change(&mut to.tls);
        Exporter::new(vec![to]).err().unwrap()
    };
    let missing = wrong(|tls| tls.ca_file = Some("/nonexistent/ca.pem".into()));
    assert!(matches!(&missing, BuildError::File { what: "ca_file", .. }));
    assert!(missing.to_string().contains("/nonexistent/ca.pem"), "{missing}");
    let half = wrong(|tls| tls.cert_file = Some(pem("client.pem")));
    assert!(half.to_string().contains("key_file"), "{half}");
    let no_key = wrong(|tls| {
        tls.cert_file = Some(pem("client.pem"));
        tls.key_file = Some(pem("client.pem"));
    });
    let named = |what: &str, file: &str| format!("{what} {}", pem(file).display());
    let expected = named("key_file", "client.pem") + " holds no private key";
    assert!(no_key.to_string().contains(&expected), "{no_key}");
    let no_certificate = wrong(|tls| tls.ca_file = Some(pem("client.key")));
    let expected = named("ca_file", "client.key") + " holds no certificate";
    assert!(no_certificate.to_string().contains(&expected), "{no_certificate}");
    let foreign = wrong(|tls| {
        tls.cert_file = Some(pem("client.pem"));
        tls.key_file = Some(pem("server.key"));
    });
    let expected = named("key_file", "server.key") + " does not fit " + &named("cert_file", "client.pem");
    assert!(foreign.to_string().contains(&expected), "{foreign}");
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_mend() {
    let refuse = |change: &dyn Fn(&mut Destination)| {
        let mut to = destination("lab", Protocol::HttpProtobuf, "127.0.0.1:1");
        change(&mut to);
        let error = Exporter::new(vec![to]).err().unwrap().to_string();
        assert!(error.contains("\"lab\""), "{error}");
        error
    };
    let secret = accelscope_export::otlp::Secret::new;
    for (endpoint, variable) in [
        ("http://$(HOST_IP):4318/v1/metrics", "$(host_ip)"),
        ("http://${NODE_IP}:4318/", "${node_ip}"),
        ("http://gateway/${TENANT}/v1/metrics", "${TENANT}"),
    ] {
        let error = refuse(&|to| to.endpoint = endpoint.parse().unwrap());
        assert!(error.contains(variable) && error.contains("in a pod"), "{error}");
    }
    let token = refuse(&|to| to.headers = vec![("x-key".to_owned(), secret("hunter2 $(TOKEN)"))]);
    assert!(token.contains("$(TOKEN)") && !token.contains("hunter2"), "{token}");
    assert!(refuse(&|to| to.endpoint = "ftp://x/".parse().unwrap()).contains("use http or https"));
    let password = refuse(&|to| to.endpoint = "http://me:hunter2@x/".parse().unwrap());
    assert!(
        password.contains("headers_file") && !password.contains("hunter2"),
        "{password}"
    );
    let header = refuse(&|to| to.headers = vec![("x-key".to_owned(), secret("hunter2\n"))]);
    assert!(header.contains("x-key") && !header.contains("hunter2"), "{header}");
    // A name that is none may be the value: name and value swapped.
    for (name, value) in [("hunter2 x", "v"), ("hunter2", "Authorization")] {
        let swapped = refuse(&|to| to.headers = vec![(name.to_owned(), secret(value))]);
        assert!(
            swapped.contains("number 1 of headers") && !swapped.contains("hunter2"),
            "{swapped}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    for second in [
        "hunter2",
        "Bearer hunter2: Authorization",
        "hunter2: Authorization",
        "hunter2 x: v",
        "x-key: hunter2\u{1}",
    ] {
        std::fs::write(&file, format!("a: b\n{second}\n")).unwrap();
        let line = refuse(&|to| to.headers_file = Some(file.clone()));
        let place = format!("{} line 2", file.display());
        assert!(line.contains(&place) && !line.contains("hunter2"), "{line}");
    }
    let twice = destination("lab", Protocol::Grpc, "127.0.0.1:1");
    assert!(
        Exporter::new(vec![twice.clone(), twice])
            .err()
            .unwrap()
            .to_string()
            .contains("twice")
    );
}
