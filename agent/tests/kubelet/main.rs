//! Device allocations, from a kubelet's socket to the program's output.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod allocations;
#[path = "../program_support/mod.rs"]
mod program_support;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use accelscope_proto::pod_resources::{
    ClaimResource, ContainerDevices, ContainerResources, DynamicResource, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
};
use futures_util::future::BoxFuture;
use program_support::{PATIENCE, wait_for};
use serde_json::Value;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Server;
use tonic_prost::ProstCodec;

const SOCKET: &str = "pod-resources/kubelet.sock";
const ROOT: &str = "var/lib/kubelet";

/// The kubelet's answer; `None` is one that never comes.
type Answer = Arc<Mutex<Option<ListPodResourcesResponse>>>;

/// The method that the kubelet implements, by its path.
#[derive(Clone)]
struct Lister {
    answer: Answer,
    questions: Arc<AtomicUsize>,
}

impl tonic::server::NamedService for Lister {
    const NAME: &'static str = "v1.PodResourcesLister";
}

impl tower::Service<Request<Body>> for Lister {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.answer.clone();
        self.questions.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            assert_eq!(request.uri().path(), "/v1.PodResourcesLister/List");
            let list = tower::service_fn(move |_: tonic::Request<ListPodResourcesRequest>| {
                let answer = answer.lock().unwrap().clone();
                async move {
                    match answer {
                        Some(answer) => Ok(tonic::Response::new(answer)),
                        None => std::future::pending().await,
                    }
                }
            });
            Ok(tonic::server::Grpc::new(ProstCodec::default())
                .unary(list, request)
                .await)
        })
    }
}

/// A kubelet that listens; stopped when dropped, its socket left behind as a killed kubelet leaves it.
struct Kubelet {
    answer: Answer,
    questions: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    fn start(socket: &Path, answer: Option<ListPodResourcesResponse>) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        std::fs::remove_file(socket).ok();
        let answer = Arc::new(Mutex::new(answer));
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let questions = Arc::<AtomicUsize>::default();
        let server = Server::builder().add_service(Lister {
            answer: answer.clone(),
            questions: questions.clone(),
        });
        let serve = async move {
            let listener = UnixListener::from_std(listener).unwrap();
            let connections = futures_util::stream::unfold(listener, |listener| async {
                Some((listener.accept().await.map(|(stream, _)| stream), listener))
            });
            tokio::select! {
                ended = server.serve_with_incoming(connections) => ended.unwrap(),
                _ = stopped => {}
            }
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve);
        });
        Self {
            answer,
            questions,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Waits until that many requests have been answered, or are about to be.
    fn wait_for_questions(&self, number: usize) {
        wait_for("questions", || {
            (self.questions.load(Ordering::Relaxed) >= number).then_some(())
        });
    }

    fn say(&self, answer: Option<ListPodResourcesResponse>) {
        *self.answer.lock().unwrap() = answer;
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().ok();
    }
}

fn devices(resource: &str, ids: &[&str]) -> ContainerDevices {
    ContainerDevices {
        resource_name: resource.into(),
        device_ids: ids.iter().map(ToString::to_string).collect(),
    }
}

fn pod(name: &str, devices: Vec<ContainerDevices>, dynamic_resources: Vec<DynamicResource>) -> PodResources {
    PodResources {
        name: name.into(),
        namespace: "team".into(),
        containers: vec![ContainerResources {
            name: "main".into(),
            devices,
            dynamic_resources,
        }],
    }
}

fn answer(pods: impl IntoIterator<Item = PodResources>) -> ListPodResourcesResponse {
    ListPodResourcesResponse {
        pod_resources: pods.into_iter().collect(),
    }
}

fn one(pod_name: &str, id: &str) -> PodResources {
    pod(pod_name, vec![devices("nvidia.com/gpu", &[id])], Vec::new())
}

fn agent(host: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .args([
            "--set",
            &format!("host.root={}", host.display()),
            "--set",
            "hailo.enabled=false",
        ])
        .args(["--set", "ascend.enabled=false", "--set", "kubelet.period=1s"])
        .args(["--set", "nvidia.enabled=false"])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Attributes of each allocation in one reading.
fn look(host: &Path) -> BTreeSet<BTreeMap<String, String>> {
    let output = agent(host, &["--stdout", "--once", "--format", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut found = BTreeSet::new();
    for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
        let point: Value = serde_json::from_str(line).unwrap();
        let is_overflow = point["attributes"].get("otel.metric.overflow").is_some();
        if point["name"] == "accel.device.allocation" && !is_overflow {
            assert_eq!(point["value"], 1, "{point}");
            assert!(found.insert(attributes(&point)), "twice: {point}");
        }
    }
    found
}

fn attributes(point: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let attributes = point["attributes"].as_object().unwrap().iter();
    attributes.map(|(key, value)| (key.clone(), text(value))).collect()
}

fn expected(pod: &str, device: &[(&str, &str)]) -> BTreeMap<String, String> {
    let whose = [
        ("k8s.pod.name", pod),
        ("k8s.namespace.name", "team"),
        ("k8s.container.name", "main"),
    ];
    let all = whose.iter().chain(device);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

const GPU: &str = "GPU-8f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b11";
const MIG: &str = "MIG-0f6d1a52-3c0b-4f3e-9a34-2f1f5d0c7b12";

#[test]
fn each_device_of_each_container_is_shown_under_the_id_that_its_driver_has_for_it() {
    let host = tempfile::tempdir().unwrap();
    let replicas = [format!("{GPU}::0"), format!("{GPU}::1")];
    let claim = |device: &str| ClaimResource {
        driver_name: "gpu.nvidia.com".into(),
        pool_name: "node-1".into(),
        device_name: device.into(),
    };
    let claimed = DynamicResource {
        claim_name: "one-gpu".into(),
        claim_namespace: "team".into(),
        claim_resources: vec![claim("gpu-0"), claim("gpu-1")],
    };
    let _kubelet = Kubelet::start(
        &host.path().join(ROOT).join(SOCKET),
        Some(answer([
            pod("without", Vec::new(), Vec::new()),
            // The kubelet lists a device at each of its NUMA nodes.
            pod(
                "sliced",
                vec![
                    devices("nvidia.com/gpu", &[&replicas[0], &replicas[1]]),
                    devices("nvidia.com/gpu", &[&replicas[0]]),
                ],
                Vec::new(),
            ),
            pod(
                "several",
                vec![
                    devices("nvidia.com/mig-1g.10gb", &[MIG]),
                    devices("huawei.com/Ascend910", &["Ascend910-3"]),
                    devices("example.com/nic", &["0000:01:00.0"]),
                ],
                Vec::new(),
            ),
            pod(
                "gke",
                vec![devices("nvidia.com/gpu", &["nvidia0/gi1/vgpu2"])],
                Vec::new(),
            ),
            pod("claimer", Vec::new(), vec![claimed]),
        ])),
    );
    // Two replicas of one GPU are one device.
    let gpu = expected(
        "sliced",
        &[
            ("accel.resource.name", "nvidia.com/gpu"),
            ("accel.device.id", GPU),
            ("hw.id", GPU),
        ],
    );
    let plugin = |pod: &str, resource: &str, id: &str, known: &[(&str, &str)]| {
        expected(
            pod,
            &[&[("accel.resource.name", resource), ("accel.device.id", id)], known].concat(),
        )
    };
    let claimed = |id: &str| {
        let device = [
            ("accel.claim.name", "one-gpu"),
            ("accel.claim.namespace", "team"),
            ("accel.driver.name", "gpu.nvidia.com"),
            ("accel.pool.name", "node-1"),
            ("accel.device.id", id),
        ];
        expected("claimer", &device)
    };
    let all = [
        gpu,
        plugin("several", "nvidia.com/mig-1g.10gb", MIG, &[("nvidia.mig.uuid", MIG)]),
        plugin(
            "several",
            "huawei.com/Ascend910",
            "Ascend910-3",
            &[("ascend.physical.id", "3")],
        ),
        plugin("several", "example.com/nic", "0000:01:00.0", &[]),
        plugin(
            "gke",
            "nvidia.com/gpu",
            "nvidia0/gi1/vgpu2",
            &[("hw.name", "nvidia0"), ("nvidia.mig.gpu_instance.id", "1")],
        ),
        claimed("gpu-0"),
        claimed("gpu-1"),
    ];
    assert_eq!(look(host.path()), BTreeSet::from(all));
}

#[test]
fn a_root_that_is_a_link_of_the_host_is_followed_within_the_host() {
    let host = tempfile::tempdir().unwrap();
    let snap = "var/snap/microk8s/common/var/lib/kubelet";
    let _kubelet = Kubelet::start(&host.path().join(snap).join(SOCKET), Some(answer([one("p", GPU)])));
    std::fs::create_dir_all(host.path().join("var/lib")).unwrap();
    symlink(Path::new("/").join(snap), host.path().join(ROOT)).unwrap();
    assert_eq!(look(host.path()).len(), 1);
}

/// The agent's JSON lines about allocations, as they come.
struct Lines {
    child: Child,
    lines: Receiver<(String, bool)>,
}

impl Lines {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let point: Value = serde_json::from_str(&line).unwrap();
                if point["name"] == "accel.device.allocation" {
                    let pod = attributes(&point)["k8s.pod.name"].clone();
                    send.send((pod, !point["value"].is_null())).ok();
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that is not about the live `pod`s.
    fn next_but(&self, live: &[&str]) -> (String, bool) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if !(line.1 && live.contains(&line.0.as_str())) {
                return line;
            }
        }
    }

    fn wait_for(&self, pod: &str) {
        while self.lines.recv_timeout(PATIENCE).unwrap() != (pod.to_owned(), true) {}
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn socket(host: &Path) -> PathBuf {
    host.join(ROOT).join(SOCKET)
}

#[test]
fn an_allocation_ends_with_its_pod_and_outlives_a_restart_of_the_kubelet() {
    let host = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(
        &socket(host.path()),
        Some(answer([one("stays", GPU), one("goes", "GPU-b")])),
    );
    let lines = Lines::of(agent(host.path(), &["--stdout", "--format", "json"]));
    lines.wait_for("goes");
    kubelet.say(Some(answer([one("stays", GPU)])));
    assert_eq!(lines.next_but(&["stays", "goes"]), ("goes".to_owned(), false));

    drop(kubelet);
    // Another inode under the same name, as a restarted kubelet makes it.
    let kubelet = Kubelet::start(&socket(host.path()), Some(answer([])));
    // The API server has not sent it its pods yet.
    kubelet.wait_for_questions(2);
    kubelet.say(Some(answer([one("stays", GPU), one("comes", "GPU-c")])));
    assert_eq!(
        lines.next_but(&["stays"]),
        ("comes".to_owned(), true),
        "and nothing ended"
    );

    // The allocations of a kubelet that stays away end.
    drop(kubelet);
    let ended = [lines.next_but(&["stays", "comes"]), lines.next_but(&["stays", "comes"])];
    assert_eq!(
        BTreeSet::from(ended),
        BTreeSet::from([("comes".to_owned(), false), ("stays".to_owned(), false)])
    );
}

#[test]
fn a_kubelet_that_does_not_answer_is_a_failure_and_no_hang() {
    let host = tempfile::tempdir().unwrap();
    let _kubelet = Kubelet::start(&socket(host.path()), None);
    let output = agent(host.path(), &["--stdout", "--once", "--format", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("did not answer within 5s"), "{said}");
}

#[test]
fn where_there_is_no_kubelet_that_is_no_fault_unless_there_should_be_one() {
    let host = tempfile::tempdir().unwrap();
    for (enabled, code) in [("auto", 0), ("true", 1), ("false", 0)] {
        let switch = format!("kubelet.enabled={enabled}");
        let output = agent(host.path(), &["--stdout", "--once", "--set", &switch])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{enabled}: {said}");
        assert_eq!(
            said.contains("/var/lib/kubelet/pod-resources/kubelet.sock"),
            code == 1,
            "{said}"
        );
    }
    // The remains of a kubelet that was removed from the node.
    drop(Kubelet::start(&socket(host.path()), Some(answer([]))));
    let output = agent(host.path(), &["--stdout", "--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The doctor's line about the kubelet.
fn doctor(host: &Path, arguments: &[&str]) -> String {
    let output = agent(host, &[&["doctor"], arguments].concat()).output().unwrap();
    // A finding may take several lines.
    let text = String::from_utf8(output.stdout).unwrap().replace("\n      ", " ");
    let line = text.lines().find(|line| line.contains("kubelet:"));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}

#[test]
fn the_doctor_shows_what_the_kubelet_answers_or_where_it_is() {
    let host = tempfile::tempdir().unwrap();
    let line = doctor(host.path(), &[]);
    assert!(
        line.starts_with("-   ") && line.contains("kubelet.root") && line.contains("mount"),
        "{line}"
    );

    let microk8s = "/var/snap/microk8s/common/var/lib/kubelet";
    let _kubelet = Kubelet::start(
        &host.path().join(&microk8s[1..]).join(SOCKET),
        Some(answer([one("p", GPU), one("q", "x")])),
    );
    let line = doctor(host.path(), &[]);
    assert!(
        line.starts_with("warn") && line.contains(&format!("set kubelet.root = {microk8s:?}")),
        "{line}"
    );
    let line = doctor(host.path(), &["--set", &format!("kubelet.root={microk8s}")]);
    assert!(
        line.starts_with("ok") && line.contains("2 allocated devices, 0 of them"),
        "{line}"
    );
}
