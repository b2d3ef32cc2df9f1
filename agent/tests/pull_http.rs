//! The listeners over real sockets.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, too"
)]

use std::future::{Future, pending};
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelscope_core::metric::{Attributes, Resource, Series, Timestamp, catalogue, key};
use accelscope_export::compat::hailo_exporter;
use accelscope_export::http::{Access, AuthFiles, BindError, Limits, Listener, Readiness, Route, routes};
use accelscope_export::prometheus::{MetricsSource, Renderer};
use axum::body::Body;
use bytes::Bytes;
use free_port::free_address;
use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Longer than any step takes, shorter than a person waits.
const DEADLINE: Duration = Duration::from_secs(60);

struct Fixture {
    resource: Resource,
    ready: AtomicBool,
}

impl Fixture {
    fn new() -> Arc<Self> {
        let mut resource = Resource::default();
        resource.set("k8s.node.name", "pi");
        Arc::new(Self {
            resource,
            ready: AtomicBool::new(false),
        })
    }

    fn routes(self: &Arc<Self>) -> Vec<Route> {
        let (source, readiness) = (Arc::clone(self), Arc::clone(self));
        routes(source, readiness, Renderer::default())
    }
}

impl MetricsSource for Fixture {
    fn series(&self) -> Vec<Series> {
        vec![Series {
            instrument: &catalogue::hw::NPU_UTILIZATION,
            attributes: Arc::new(Attributes::new([(key::HW_ID, "a".into())])),
            value: Some(0.5.into()),
            time: Timestamp::from_unix_nanos(1),
            start: None,
        }]
    }

    fn resource(&self) -> &Resource {
        &self.resource
    }
}

impl Readiness for Fixture {
    fn check(&self) -> Result<String, String> {
        if self.ready.load(Ordering::Relaxed) {
            Ok("hailo: sampled\n".into())
        } else {
            Err("hailo: no outcome yet\n".into())
        }
    }
}

fn bind(routes: Vec<Route>, access: &Access) -> Listener {
    Listener::bind("http.listen", SocketAddr::from(([127, 0, 0, 1], 0)), routes, access).unwrap()
}

fn bearer(token_file: PathBuf) -> Access {
    Access {
        auth: AuthFiles {
            bearer_token_file: Some(token_file),
            basic_users_file: None,
        },
        ..Access::default()
    }
}

/// Runs the listener for as long as `test` needs it.
fn with_served<F: Future>(listener: Listener, test: impl FnOnce(SocketAddr) -> F) -> F::Output {
    let addr = listener.local_addr();
    block_on(async {
        let server = tokio::spawn(listener.serve(pending()));
        let output = timeout(DEADLINE, test(addr)).await.expect("an answer in time");
        server.abort();
        output
    })
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

struct Reply {
    status: StatusCode,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn get(addr: SocketAddr, path: &str) -> Reply {
    ask(addr, "GET", path, &[]).await
}

#[test]
fn a_scraper_gets_the_format_it_asks_for() {
    with_served(bind(Fixture::new().routes(), &Access::default()), async |addr| {
        let text = get(addr, "/metrics").await;
        assert_eq!(text.status, StatusCode::OK);
        assert_eq!(
            text.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        assert!(
            text.text().ends_with("\nhw_npu_utilization_ratio{hw_id=\"a\"} 0.5\n"),
            "{}",
            text.text()
        );

        let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
        let open = ask(addr, "GET", "/metrics", &accept).await;
        assert!(
            open.header("content-type")
                .starts_with("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        assert!(open.text().ends_with("\n# EOF\n"), "{}", open.text());
    });
}

#[test]
fn gzip_only_for_those_who_take_it() {
    with_served(bind(Fixture::new().routes(), &Access::default()), async |addr| {
        let plain = get(addr, "/metrics").await;
        assert_eq!(plain.header("content-encoding"), "");
        let refused = ask(addr, "GET", "/metrics", &[("accept-encoding", "gzip;q=0")]).await;
        assert_eq!(refused.body, plain.body);
        let packed = ask(addr, "GET", "/metrics", &[("accept-encoding", "gzip")]).await;
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert!(packed.body.len() < plain.body.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed.body)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.text());
    });
}

#[test]
fn head_has_the_headers_alone() {
    with_served(bind(Fixture::new().routes(), &Access::default()), async |addr| {
        let (full, head) = (get(addr, "/metrics").await, ask(addr, "HEAD", "/metrics", &[]).await);
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.header("content-type"), full.header("content-type"));
        assert!(head.body.is_empty());
    });
}

#[test]
fn whoever_is_lost_is_told_the_way() {
    with_served(bind(Fixture::new().routes(), &Access::default()), async |addr| {
        let index = get(addr, "/").await;
        for path in ["/metrics", "/healthz", "/readyz"] {
            assert!(index.text().contains(path), "{}", index.text());
        }
        let missing = get(addr, "/metricz").await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        assert!(missing.text().contains('/'), "{}", missing.text());
        let wrong = ask(addr, "DELETE", "/metrics", &[]).await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(wrong.header("allow"), "GET,HEAD");
        assert!(wrong.text().contains("Allow"), "{}", wrong.text());
    });
}

#[test]
fn alive_at_once_and_ready_when_the_samplers_are() {
    let fixture = Fixture::new();
    with_served(bind(fixture.routes(), &Access::default()), async |addr| {
        assert_eq!(get(addr, "/healthz").await.status, StatusCode::OK);
        let waiting = get(addr, "/readyz").await;
        assert_eq!(waiting.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(waiting.text(), "hailo: no outcome yet\n");
        fixture.ready.store(true, Ordering::Relaxed);
        let ready = get(addr, "/readyz").await;
        assert_eq!((ready.status, ready.text()), (StatusCode::OK, "hailo: sampled\n"));
    });
}

#[test]
fn a_secret_keeps_all_but_the_probes() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "sesame\n").unwrap();
    let listener = bind(Fixture::new().routes(), &bearer(token_file));
    with_served(listener, async |addr| {
        for path in ["/metrics", "/"] {
            let refused = get(addr, path).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"accelscope\"");
            assert!(!refused.text().contains("hw_npu"));
            let wrong = ask(addr, "GET", path, &[("authorization", "Bearer sesam")]).await;
            assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{path}");
            let right = ask(addr, "GET", path, &[("authorization", "Bearer sesame")]).await;
            assert_eq!(right.status, StatusCode::OK, "{path}");
        }
        assert_eq!(get(addr, "/healthz").await.status, StatusCode::OK);
        assert_eq!(get(addr, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn a_user_and_password_are_asked_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let users_file = dir.path().join("users");
    std::fs::write(&users_file, "Aladdin:open sesame\n").unwrap();
    let access = Access {
        auth: AuthFiles {
            basic_users_file: Some(users_file),
            bearer_token_file: None,
        },
        ..Access::default()
    };
    with_served(bind(Fixture::new().routes(), &access), async |addr| {
        let refused = get(addr, "/metrics").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.header("www-authenticate").starts_with("Basic realm="));
        // RFC 7617's own example is this pair.
        let right = [("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")];
        assert_eq!(ask(addr, "GET", "/metrics", &right).await.status, StatusCode::OK);
    });
}

/// For strangers who must outlast the test.
const PATIENT: Limits = Limits {
    connections: 32,
    idle: Duration::from_hours(1),
    stall: Duration::from_hours(1),
    grace: Duration::from_secs(1),
};

/// Short enough for a test to see it expire.
const IMPATIENT: Limits = Limits {
    connections: 32,
    idle: Duration::from_millis(300),
    stall: Duration::from_millis(300),
    grace: Duration::from_secs(1),
};

#[test]
fn a_slow_stranger_makes_nobody_wait() {
    let listener = bind(Fixture::new().routes(), &Access::default()).with_limits(PATIENT);
    with_served(listener, async |addr| {
        let mut slow = TcpStream::connect(addr).await.unwrap();
        slow.write_all(b"GET /metrics HTTP/1.1\r\nhost:").await.unwrap();
        assert_eq!(get(addr, "/metrics").await.status, StatusCode::OK);
    });
}

#[test]
fn a_slow_stranger_is_cut_off() {
    let listener = bind(Fixture::new().routes(), &Access::default()).with_limits(IMPATIENT);
    with_served(listener, async |addr| {
        let mut slow = TcpStream::connect(addr).await.unwrap();
        slow.write_all(b"GET /metrics HTTP/1.1\r\nhost:").await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as a close.
        slow.read_to_end(&mut answer).await.ok();
        assert_eq!(answer, b"");
    });
}

#[test]
fn a_reader_who_takes_nothing_is_cut_off() {
    let (alive, dropped) = oneshot::channel::<()>();
    let once = Arc::new(Mutex::new(Some(alive)));
    let endless = Route::get("/endless", "endless", async move || {
        let alive = once.lock().unwrap().take().expect("one request");
        let chunks = stream::unfold(alive, async |alive| {
            Some((Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])), alive))
        });
        Body::from_stream(chunks)
    });
    with_served(
        bind(vec![endless], &Access::default()).with_limits(IMPATIENT),
        async |addr| {
            let mut stuck = TcpStream::connect(addr).await.unwrap();
            stuck
                .write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await
                .unwrap();
            dropped.await.expect_err("nobody sends on it: it ends with the answer");
        },
    );
}

#[test]
fn strangers_who_hold_every_connection_keep_nobody_out() {
    let limits = Limits {
        connections: 4,
        ..PATIENT
    };
    let listener = bind(Fixture::new().routes(), &Access::default()).with_limits(limits);
    with_served(listener, async |addr| {
        let mut strangers = Vec::new();
        for _ in 0..12 {
            let mut stranger = TcpStream::connect(addr).await.unwrap();
            stranger.write_all(b"GET /").await.unwrap();
            strangers.push(stranger);
        }
        for _ in 0..8 {
            assert_eq!(get(addr, "/healthz").await.status, StatusCode::OK);
        }
        let mut first = strangers.remove(0);
        first.read_to_end(&mut Vec::new()).await.ok();
    });
}

#[test]
fn headers_without_end_are_refused() {
    with_served(bind(Fixture::new().routes(), &Access::default()), async |addr| {
        let long = "x".repeat(64 << 10);
        let mut stranger = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n");
        stranger.write_all(request.as_bytes()).await.ok();
        let mut answer = [0; 64];
        let read = stranger.read(&mut answer).await.unwrap_or(0);
        assert!(
            !answer[..read].starts_with(b"HTTP/1.1 200"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );

        let many: Vec<String> = (0..200).map(|n| format!("x-{n}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "y")).collect();
        let refused = ask(addr, "GET", "/metrics", &many).await;
        assert_eq!(refused.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    });
}

#[test]
fn a_port_in_use_names_address_key_and_remedy() {
    let first = bind(Vec::new(), &Access::default());
    let addr = first.local_addr();
    let error = Listener::bind("http.listen", addr, Vec::new(), &Access::default())
        .err()
        .unwrap();
    let text = error.to_string();
    for part in [&addr.to_string(), "http.listen", "ss -ltnp", "free port"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_secret_that_cannot_be_read_stops_the_start() {
    let access = bearer("/nonexistent/token".into());
    let error = Listener::bind(
        "http.listen",
        SocketAddr::from(([127, 0, 0, 1], 0)),
        Vec::new(),
        &access,
    )
    .err()
    .unwrap();
    assert!(matches!(error, BindError::File(_)));
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
}

#[test]
fn two_features_cannot_claim_one_route() {
    let route = || Route::get("/x", "x", async || "");
    let routes = vec![route(), route()];
    let error = Listener::bind(
        "http.listen",
        SocketAddr::from(([127, 0, 0, 1], 0)),
        routes,
        &Access::default(),
    )
    .err()
    .unwrap();
    assert!(error.to_string().contains("GET /x"), "{error}");
}

#[test]
fn shutdown_lets_requests_end_and_waits_for_no_stranger() {
    let (release, released) = oneshot::channel::<()>();
    let (begin, started) = oneshot::channel::<()>();
    let once = Arc::new(Mutex::new(Some((begin, released))));
    let slow = Route::get("/slow", "slow", async move || {
        let (begin, released) = once.lock().unwrap().take().expect("one request");
        begin.send(()).unwrap();
        released.await.unwrap();
        "done"
    });
    // Nobody else is given this port when it is closed.
    let listener = Listener::bind("http.listen", free_address(), vec![slow], &Access::default());
    let listener = listener.unwrap().with_limits(PATIENT);
    let addr = listener.local_addr();
    block_on(async {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(listener.serve(async { stopped.await.unwrap() }));
        let request = tokio::spawn(async move { get(addr, "/slow").await });
        started.await.unwrap();
        let mut stranger = TcpStream::connect(addr).await.unwrap();
        stranger.write_all(b"GET /").await.unwrap();
        stop.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(timeout(DEADLINE, request).await.unwrap().unwrap().text(), "done");
        let ended = timeout(DEADLINE, server).await.expect("it waited for the stranger");
        ended.unwrap().unwrap();
        assert!(TcpStream::connect(addr).await.is_err(), "it still listens");
    });
}

#[test]
fn the_replaced_exporters_scrape_job_works_unchanged() {
    let source: Arc<dyn MetricsSource> = Fixture::new();
    with_served(
        bind(hailo_exporter::routes(&source), &Access::default()),
        async |addr| {
            let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
            for path in ["/metrics", "/"] {
                let reply = ask(addr, "GET", path, &accept).await;
                assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
                assert!(
                    reply
                        .text()
                        .ends_with("\nhailo_NPU_utilization_percent{NPU=\"NPU\"} 50.0\n"),
                    "{}",
                    reply.text()
                );
            }
        },
    );
}
