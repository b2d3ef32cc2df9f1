//! The node annotation against API servers that answer, hang, fail, refuse or do not exist.
#![cfg(feature = "k8s-annotation")]
#![allow(clippy::unwrap_used, reason = "a peer that cannot be set up is a failed test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accelscope_core::metric::MetricsSource;
use accelscope_core::metric::{Attributes, Instrument, Kind, Merge, Resource, Series, Stability, Timestamp, Value};
use accelscope_export::node_annotation::{ApiServer, KEY, NodeAnnotation, NodeName, Settings};
use accelscope_export::otlp::RetryPolicy;
use free_port::free_address;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

static POWER: Instrument = Instrument {
    name: "hw.power",
    unit: "W",
    kind: Kind::Gauge,
    attributes: &[],
    description: "",
    owned: false,
    merge: Merge::Sum,
    stability: Stability::Development,
};

/// One chip, with the number of its readings as its power.
#[derive(Default)]
struct Chip {
    looks: AtomicU64,
    resource: Resource,
}

impl MetricsSource for Chip {
    fn series(&self) -> Vec<Series> {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        vec![Series {
            instrument: &POWER,
            attributes: Arc::new(Attributes::new([
                ("ascend.npu.id", 0i64.into()),
                ("ascend.chip.id", 0i64.into()),
            ])),
            value: Some(Value::Double(look as f64)),
            time: Timestamp::now(),
            start: None,
        }]
    }

    fn resource(&self) -> &Resource {
        &self.resource
    }
}

/// How a request is answered.
#[derive(Clone)]
enum Answer {
    Status(u16, &'static str),
    /// 429 with `Retry-After`.
    Later(u64),
    Never,
}

/// A request, as it came.
struct Seen {
    at: Instant,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Resulting content of the annotation.
    value: Json,
}

/// An API server; its last answer is repeated for all further requests.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    fn on(listener: TcpListener, answers: impl IntoIterator<Item = Answer>) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            seen: Arc::default(),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = serving.clone();
                let service = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let at = Instant::now();
        let (head, body) = request.into_parts();
        let body: Json = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        let metadata = &body["metadata"];
        assert_eq!(body.as_object().unwrap().len(), 1, "patches more than metadata: {body}");
        assert_eq!(metadata.as_object().unwrap().len(), 1, "{body}");
        assert_eq!(metadata["annotations"].as_object().unwrap().len(), 1, "{body}");
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            }
        };
        self.seen.lock().unwrap().push(Seen {
            at,
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            value: metadata["annotations"][KEY].clone(),
        });
        let (status, body, wait) = match answer.unwrap_or(Answer::Status(200, "{}")) {
            Answer::Status(status, body) => (status, body, None),
            Answer::Later(seconds) => (429, "{}", Some(seconds)),
            Answer::Never => std::future::pending().await,
        };
        let mut response = Response::builder().status(status);
        if let Some(seconds) = wait {
            response = response.header("retry-after", seconds);
        }
        Ok(response.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    }

    fn values(&self) -> Vec<Json> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|seen| seen.value.clone())
            .collect()
    }

    async fn requests(&self, least: usize) {
        until("requests", || self.seen.lock().unwrap().len() >= least).await;
    }
}

const MILLISECONDS: fn(u64) -> Duration = Duration::from_millis;
/// Time limit of every wait, and of a request to a server that answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time that the removal may take (`REMOVAL` in `node_annotation/writer.rs`): a stop that took less was not cut short.
const REMOVAL: Duration = Duration::from_millis(2500);
/// How often a stop is tried on a machine that leaves it no time.
const TRIES: usize = 5;

/// Plays a scenario until its stop took no longer than it may, which it must have done once.
async fn once_in_time(scenario: impl AsyncFn() -> Option<()>) {
    for _ in 0..TRIES {
        if scenario().await.is_some() {
            return;
        }
    }
    panic!("every stop took too long");
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "no {what} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn settings(address: SocketAddr) -> Settings {
    Settings {
        deadline: PATIENCE,
        retry: RetryPolicy::new(MILLISECONDS(20), MILLISECONDS(100), MILLISECONDS(200)).unwrap(),
        ..Settings::new(NodeName::new("node-1").unwrap(), server(address), MILLISECONDS(50))
    }
}

fn server(address: SocketAddr) -> ApiServer {
    ApiServer {
        url: format!("http://{address}"),
        ca_file: None,
        token_file: None,
    }
}

/// A running writer, and the means to end it.
struct Running {
    chip: Arc<Chip>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(settings: &Settings) -> Self {
        let chip = Arc::new(Chip::default());
        let (stop, stopped) = oneshot::channel();
        let writer = NodeAnnotation::new(settings, chip.clone()).unwrap();
        let task = tokio::spawn(writer.run(async { drop(stopped.await) }));
        Self { chip, stop, task }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    /// The same; `None` if it took so long.
    async fn end_within(self, most: Duration) -> Option<()> {
        let asked = Instant::now();
        self.end().await;
        (asked.elapsed() < most).then_some(())
    }
}

fn power(value: &Json) -> f64 {
    let text: Json = serde_json::from_str(value.as_str().unwrap()).unwrap();
    text["chips"][0]["power"].as_f64().unwrap()
}

#[tokio::test]
async fn changes_are_merged_into_the_node_at_most_once_an_interval_and_removed_at_the_end() {
    once_in_time(async || {
        let server = Server::start([Answer::Status(200, "{}")]).await;
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "the-token").unwrap();
        let mut settings = settings(server.address);
        settings.interval = MILLISECONDS(200);
        settings.server.token_file = Some(token.path().to_owned());
        let running = Running::start(&settings);
        server.requests(4).await;
        running.end_within(REMOVAL).await?;

        let seen = server.seen.lock().unwrap();
        for one in &*seen {
            assert_eq!(one.method, Method::PATCH);
            assert_eq!(one.uri.path(), "/api/v1/nodes/node-1");
            assert_eq!(one.headers["content-type"], "application/merge-patch+json");
            assert_eq!(one.headers["authorization"], "Bearer the-token");
        }
        let (removal, writes) = seen.split_last().unwrap();
        assert_eq!(removal.value, Json::Null, "the annotation outlives the agent");
        for pair in writes.windows(2) {
            assert!(
                power(&pair[1].value) > power(&pair[0].value),
                "written without a change"
            );
            let apart = pair[1].at - pair[0].at;
            assert!(apart >= MILLISECONDS(170), "{apart:?} between two writes");
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_the_kubelet_rotates_is_used_from_the_next_request_on() {
    let server = Server::start([Answer::Status(200, "{}")]).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "first\n").unwrap();
    let mut settings = settings(server.address);
    settings.server.token_file = Some(token.path().to_owned());
    let running = Running::start(&settings);
    server.requests(1).await;
    // The previous one is used while the file is missing.
    std::fs::remove_file(token.path()).unwrap();
    let before = server.values().len();
    server.requests(before + 2).await;
    std::fs::write(token.path(), "second").unwrap();
    let rotated = || {
        let seen = server.seen.lock().unwrap();
        seen.iter().any(|one| one.headers["authorization"] == "Bearer second")
    };
    until("request with the new token", rotated).await;
    running.end().await;
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[before + 1].headers["authorization"], "Bearer first");
    assert_eq!(seen.last().unwrap().headers["authorization"], "Bearer second");
}

#[tokio::test]
async fn a_connection_without_answers_is_replaced_by_a_new_one() {
    let server = Server::start([Answer::Never, Answer::Status(200, "{}")]).await;
    let (proxy, accepted) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        Arc::new(AtomicU64::new(0)),
    );
    let (address, count) = (proxy.local_addr().unwrap(), accepted.clone());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut from, _) = proxy.accept().await.unwrap();
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                // Open, but nothing is read and nothing is answered.
                silent.push(from);
                continue;
            }
            let mut to = tokio::net::TcpStream::connect(server.address).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    let mut settings = settings(address);
    settings.deadline = MILLISECONDS(300);
    let running = Running::start(&settings);
    until("second connection", || accepted.load(Ordering::Relaxed) >= 2).await;
    running.end().await;
}

#[tokio::test]
async fn a_server_that_fails_is_asked_again_with_the_newest_values() {
    let failing = Answer::Status(500, r#"{"kind":"Status","message":"etcdserver: leader changed"}"#);
    let server = Server::start([failing.clone(), failing.clone(), failing, Answer::Status(200, "{}")]).await;
    let running = Running::start(&settings(server.address));
    server.requests(5).await;
    running.end().await;
    let values = server.values();
    assert!(power(&values[3]) > power(&values[0]), "old values were repeated");
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_deadline_a_request_and_nothing_else() {
    const DEADLINE: Duration = Duration::from_secs(2);
    let server = Server::start([Answer::Never, Answer::Never, Answer::Status(200, "{}")]).await;
    let mut settings = settings(server.address);
    settings.deadline = DEADLINE;
    let begun = Instant::now();
    let running = Running::start(&settings);
    server.requests(1).await;
    // One thread runs every task: it would block if the writer waited in it.
    for _ in 0..10 {
        running.chip.series();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.values().len(), 1, "the thread stood still");
    server.requests(4).await;
    running.end().await;
    let seen = server.seen.lock().unwrap();
    // The request was made some time before it was seen.
    assert!(seen[1].at - begun >= DEADLINE, "it did not wait for an answer");
}

#[tokio::test]
async fn a_stop_while_the_server_hangs_takes_less_than_three_seconds_and_still_removes() {
    once_in_time(async || {
        let server = Server::start([Answer::Never, Answer::Status(200, "{}")]).await;
        let mut settings = settings(server.address);
        settings.deadline = Duration::from_secs(30);
        let running = Running::start(&settings);
        server.requests(1).await;
        running.end_within(REMOVAL).await?;
        assert_eq!(server.values()[1..], [Json::Null]);

        let never = Server::start([Answer::Never]).await;
        settings.server = self::server(never.address);
        let running = Running::start(&settings);
        never.requests(1).await;
        running.end_within(Duration::from_secs(3)).await?;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_refuses_is_probed_and_not_hammered() {
    once_in_time(async || {
        let refused = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"nodes \"node-1\" is forbidden"}"#;
        let server = Server::start([Answer::Status(403, refused)]).await;
        let running = Running::start(&settings(server.address));
        server.requests(4).await;
        {
            let seen = server.seen.lock().unwrap();
            for pair in seen.windows(2) {
                let apart = pair[1].at - pair[0].at;
                assert!(apart >= MILLISECONDS(100), "asked again after {apart:?}");
            }
        }
        // The role was applied.
        *server.answers.lock().unwrap() = [Answer::Status(200, "{}")].into();
        let before = server.values().len();
        server.requests(before + 3).await;
        running.end_within(REMOVAL).await?;
        assert_eq!(server.values().last(), Some(&Json::Null));
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    let server = Server::start([Answer::Later(1), Answer::Status(200, "{}")]).await;
    let running = Running::start(&settings(server.address));
    server.requests(2).await;
    running.end().await;
    let seen = server.seen.lock().unwrap();
    let apart = seen[1].at - seen[0].at;
    assert!(apart >= Duration::from_secs(1), "{apart:?}");
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    once_in_time(async || {
        let address = free_address();
        let running = Running::start(&settings(address));
        until("attempts", || running.chip.looks.load(Ordering::Relaxed) >= 3).await;
        let server = Server::on(TcpListener::bind(address).await.unwrap(), [Answer::Status(200, "{}")]);
        server.requests(2).await;
        running.end_within(REMOVAL).await?;
        assert_eq!(server.values().last(), Some(&Json::Null));
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_without_a_server_ends_in_time() {
    once_in_time(async || {
        let address = free_address();
        let running = Running::start(&settings(address));
        until("attempts", || running.chip.looks.load(Ordering::Relaxed) >= 2).await;
        running.end_within(Duration::from_secs(3)).await?;
        Some(())
    })
    .await;
}

#[tokio::test]
async fn outside_a_cluster_the_error_names_the_remedy() {
    let settings = Settings::in_cluster(NodeName::new("node-1").unwrap(), MILLISECONDS(50));
    let Err(error) = settings else {
        panic!("this test runs in a pod, or made a client of nothing")
    };
    assert!(error.to_string().contains("k8s-monitor-annotation"), "{error}");
}
