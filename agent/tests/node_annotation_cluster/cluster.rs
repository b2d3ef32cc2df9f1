//! etcd and kube-apiserver on loopback, and their clients.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use free_port::free_port;
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, Config};
use serde_json::Value as Json;

/// Folder with the programs etcd, kube-apiserver and kubectl; `cargo xtask tools --export` names one.
const PROGRAMS: &str = "ACCELSCOPE_KUBE";

/// The folder; `None`, with a message, if there is none.
pub(crate) fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(PROGRAMS).filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    let why = format!("{PROGRAMS} names no folder with etcd, kube-apiserver and kubectl");
    skip_test::skip("kube", &why);
    None
}

/// Time limit of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

pub(crate) struct Cluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) url: String,
    children: Vec<Child>,
}

impl Cluster {
    /// Starts it and waits until it is ready for requests.
    pub(crate) fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [api, client, peer] = [(); 3].map(|()| free_port());
        let mut cluster = Self {
            programs,
            url: format!("https://127.0.0.1:{api}"),
            children: Vec::new(),
            folder,
        };
        cluster.certificates();
        let etcd = [
            format!("--data-dir={}", cluster.path("etcd").display()),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync".to_owned(),
        ];
        cluster.launch("etcd", &etcd);
        let file = |flag: &str, name: &str| format!("--{flag}={}", cluster.path(name).display());
        let server = [
            format!("--etcd-servers=http://127.0.0.1:{client}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={api}"),
            "--advertise-address=192.0.2.10".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=198.51.100.0/24".to_owned(),
            file("tls-cert-file", "server.crt"),
            file("tls-private-key-file", "server.key"),
            file("client-ca-file", "ca.crt"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            file("service-account-key-file", "server.pub"),
            file("service-account-signing-key-file", "server.key"),
            "--authorization-mode=Node,RBAC".to_owned(),
            // It would wait for a controller to make the account "default".
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        cluster.launch("kube-apiserver", &server);
        cluster.until_ready();
        cluster
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certificates(&self) {
        let script = r#"
            set -e; cd "$1"
            new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            openssl req -x509 $new -keyout ca.key -out ca.crt -days 2 -subj /CN=ca \
                -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            sign() { # NAME SUBJECT EXTENSIONS
                openssl req $new -keyout "$1.key" -out "$1.csr" -subj "$2"
                printf '%b' "$3" > "$1.ext"
                openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" -extfile "$1.ext"
            }
            sign server /CN=kube-apiserver 'extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1'
            openssl pkey -in server.key -pubout -out server.pub
            sign admin /O=system:masters/CN=admin extendedKeyUsage=clientAuth
        "#;
        let made = Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(self.folder.path())
            .output();
        succeed("openssl", made.unwrap());
    }

    fn launch(&mut self, program: &str, arguments: &[String]) {
        let log = std::fs::File::create(self.path(&format!("{program}.log"))).unwrap();
        let child = Command::new(self.programs.join(program))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        self.children.push(child);
    }

    fn until_ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.kubectl(&["get", "--raw", "/readyz"]).stdout != b"ok" {
            for (child, name) in self.children.iter_mut().zip(["etcd", "kube-apiserver"]) {
                if let Some(status) = child.try_wait().unwrap() {
                    let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap();
                    panic!("{name} ended with {status}:\n{log}");
                }
            }
            assert!(Instant::now() < end, "the API server is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// kubectl as the cluster's administrator.
    fn kubectl(&self, arguments: &[&str]) -> Output {
        let option = |flag: &str, name: &str| format!("--{flag}={}", self.path(name).display());
        Command::new(self.programs.join("kubectl"))
            .env("HOME", self.folder.path())
            .env_remove("KUBECONFIG")
            .arg(format!("--server={}", self.url))
            .arg(option("certificate-authority", "ca.crt"))
            .arg(option("client-certificate", "admin.crt"))
            .arg(option("client-key", "admin.key"))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The output of a command that must succeed.
    pub(crate) fn admin(&self, arguments: &[&str]) -> String {
        succeed("kubectl", self.kubectl(arguments))
    }

    /// Applies a manifest.
    pub(crate) fn apply(&self, manifest: &Json) {
        let path = self.path("manifest.json");
        std::fs::write(&path, manifest.to_string()).unwrap();
        self.admin(&["apply", "-f", &path.display().to_string()]);
    }

    /// Client with the token in that file.
    pub(crate) fn bearer(&self, token_file: &Path) -> Bearer {
        let mut config = Config::new(self.url.parse().unwrap());
        config.root_cert_file = Some(self.path("ca.crt"));
        config.default_retry = false;
        config.auth_info = AuthInfo {
            token_file: Some(token_file.display().to_string()),
            ..AuthInfo::default()
        };
        Bearer(Client::try_from(config).unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub(crate) struct Bearer(Client);

impl Bearer {
    /// Status and body of the answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, merge_patch: Option<&Json>) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/merge-patch+json")
            .body(Body::from(
                merge_patch
                    .map(|patch| patch.to_string().into_bytes())
                    .unwrap_or_default(),
            ))
            .unwrap();
        let response = self.0.send(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

fn succeed(what: &str, output: Output) -> String {
    assert!(
        output.status.success(),
        "{what} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
