//! Who may ask the program's listeners: names, TLS, certificates and secrets.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use free_port::free_address;
use program_support::{PATIENCE, Running, wait_for};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const AGENT: &str = env!("CARGO_BIN_EXE_agent");

/// Certificates that are valid for a hundred years and used only in tests.
fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/otlp_wire/pem")
        .join(name)
}

fn agent(settings: &[String]) -> Command {
    let mut command = Command::new(AGENT);
    command.env_clear().stdin(Stdio::null());
    command.args(["--set", "otlp.enabled=false", "--set", "hailo.dir=/nonexistent"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

/// The status and the whole answer, or why there is none.
fn ask(mut stream: impl Read + Write, request: &str) -> Result<(u16, String), std::io::Error> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer)
        && answer.is_empty()
    {
        return Err(error);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| std::io::Error::other(answer.clone()))?, answer))
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn plain(address: SocketAddr, request: &str) -> Result<(u16, String), std::io::Error> {
    ask(connect(address)?, request)
}

/// An answer over TLS, and the listener's certificate.
struct Answer {
    status: u16,
    text: String,
    shown: CertificateDer<'static>,
}

/// Over TLS; `identity` is a certificate and its key.
fn tls(address: SocketAddr, ca: &Path, identity: Option<&str>, request: &str) -> Result<Answer, std::io::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_root_certificates(roots);
    let config = match identity {
        Some(name) => {
            let chain = CertificateDer::pem_file_iter(pem(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(pem(&format!("{name}.key"))).unwrap();
            builder
                .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                .unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let name = address.ip().into();
    let connection = ClientConnection::new(Arc::new(config), rustls::pki_types::ServerName::IpAddress(name)).unwrap();
    let mut stream = StreamOwned::new(connection, connect(address)?);
    let (status, text) = ask(&mut stream, request)?;
    let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    Ok(Answer { status, text, shown })
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

const BEARER: &str = "Authorization: Bearer sesame\r\n";

#[test]
fn a_name_that_somebody_pointed_here_is_refused_by_every_listener() {
    let (http, view) = (free_address(), free_address());
    let _running = Running::start(agent(&[
        format!("http.listen={http}"),
        format!("compat.system_info_exporter.listen={view}"),
        "http.allowed_hosts=agent.mon.svc,*.example.com".into(),
    ]));
    let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for address in [http, view] {
        wait_for("the listener", || plain(address, &request("/metrics", "")).ok());
        let with = |host: &str| format!("GET /metrics HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\r\n");
        let host = address.to_string();
        for known in [
            host.as_str(),
            "127.0.0.1",
            "[::1]",
            "localhost:1",
            "x.localhost",
            "agent.mon.svc:9464",
            "n.example.com",
            &own,
        ] {
            assert_eq!(plain(address, &with(known)).unwrap().0, 200, "{known}");
        }
        for foreign in [
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "example.com",
            "127.0.0.1.evil.example",
            "",
        ] {
            let (status, text) = plain(address, &with(foreign)).unwrap();
            assert_eq!(status, 421, "{foreign}: {text}");
            assert!(
                text.contains("http.allowed_hosts") && !text.contains("agent_build_info"),
                "{text}"
            );
        }
        let two = plain(address, &with("localhost\r\nHost: evil.example")).unwrap();
        assert_eq!(two.0, 400, "{}", two.1);
        let absolute = "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(plain(address, absolute).unwrap().0, 421);
        assert_eq!(
            plain(address, "GET /metrics HTTP/1.0\r\n\r\n").unwrap().0,
            200,
            "it has no name"
        );
    }
}

#[test]
fn with_tls_and_a_token_nothing_else_is_answered_but_probes() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "sesame\n").unwrap();
    let (http, view, open) = (free_address(), free_address(), free_address());
    let _running = Running::start(agent(&[
        format!("http.listen={http}"),
        format!("http.tls.cert_file={}", pem("server.pem").display()),
        format!("http.tls.key_file={}", pem("server.key").display()),
        format!("http.auth.bearer_token_file={}", token.display()),
        format!("compat.system_info_exporter.listen={view}"),
        format!("compat.hailo_exporter.listen={open}"),
        "compat.hailo_exporter.tls.cert_file=".into(),
        "compat.hailo_exporter.tls.key_file=".into(),
        "compat.hailo_exporter.auth.bearer_token_file=".into(),
    ]));
    for address in [http, view] {
        let right = wait_for("the listener", || {
            tls(address, &pem("ca.pem"), None, &request("/metrics", BEARER)).ok()
        });
        assert_eq!(right.status, 200, "{}", right.text);
        for wrong in [
            "",
            "Authorization: Bearer sesam\r\n",
            "Authorization: Basic c2VzYW1lOg==\r\n",
        ] {
            let Answer { status, text, .. } = tls(address, &pem("ca.pem"), None, &request("/metrics", wrong)).unwrap();
            assert_eq!(status, 401, "{wrong}: {text}");
            assert!(text.to_lowercase().contains("www-authenticate: bearer"), "{text}");
        }
        assert_eq!(
            tls(address, &pem("ca.pem"), None, &request("/healthz", ""))
                .unwrap()
                .status,
            200
        );
        assert!(
            tls(address, &pem("client.pem"), None, &request("/metrics", BEARER)).is_err(),
            "another authority"
        );
        let (status, text) = plain(address, &request("/metrics", BEARER)).unwrap();
        assert!(status == 400 && text.contains("https://"), "{text}");
    }
    for (path, status) in [
        ("/node", 401),
        ("/metrics/json", 401),
        ("/health", 200),
        ("/ready", 200),
        ("/", 404),
    ] {
        let answer = tls(view, &pem("ca.pem"), None, &request(path, "")).unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
    assert_eq!(
        plain(open, &request("/metrics", "")).unwrap().0,
        200,
        "a view of its own settings"
    );
    std::fs::write(&token, "sesame\nnext\n").unwrap();
    let next = request("/metrics", "Authorization: Bearer next\r\n");
    for token in [&next, &request("/metrics", BEARER)] {
        assert_eq!(
            tls(http, &pem("ca.pem"), None, token).unwrap().status,
            200,
            "both while they change"
        );
    }
    std::fs::write(&token, "next\n").unwrap();
    assert_eq!(tls(http, &pem("ca.pem"), None, &next).unwrap().status, 200);
    assert_eq!(
        tls(http, &pem("ca.pem"), None, &request("/metrics", BEARER))
            .unwrap()
            .status,
        401
    );
}

#[test]
fn certificates_are_asked_for_and_rotated_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let install = |name: &str| {
        std::fs::copy(pem(&format!("{name}.key")), &key).unwrap();
        std::fs::copy(pem(&format!("{name}.pem")), &cert).unwrap();
    };
    install("server");
    let http = free_address();
    let _running = Running::start(agent(&[
        format!("http.listen={http}"),
        format!("http.tls.cert_file={}", cert.display()),
        format!("http.tls.key_file={}", key.display()),
        format!("http.tls.client_ca_file={}", pem("ca.pem").display()),
    ]));
    let ca = pem("ca.pem");
    let with = |identity| tls(http, &ca, identity, &request("/metrics", ""));
    let right = wait_for("the listener", || with(Some("client")).ok());
    assert_eq!(right.status, 200, "{}", right.text);
    let Answer { status, text, .. } = with(None).unwrap();
    assert!(status == 403 && text.contains("client certificate"), "{text}");
    assert_eq!(
        tls(http, &ca, None, &request("/healthz", "")).unwrap().status,
        200,
        "a probe has none"
    );
    assert_eq!(right.shown, CertificateDer::from_pem_file(pem("server.pem")).unwrap());
    install("client");
    let rotated = with(Some("client")).unwrap();
    assert_eq!(rotated.shown, CertificateDer::from_pem_file(pem("client.pem")).unwrap());
    install("server");
    assert_eq!(with(Some("client")).unwrap().status, 200);
    std::fs::write(&cert, "half a certific").unwrap();
    assert_eq!(with(Some("client")).unwrap().status, 200, "the last good one is used");
}

#[test]
fn a_file_that_cannot_be_used_stops_the_start_and_doctor_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (server, key) = (
        pem("server.pem").display().to_string(),
        pem("server.key").display().to_string(),
    );
    let (tls, auth) = ("http.tls.cert_file", "http.auth.basic_users_file");
    for (named, settings, part) in [
        (
            auth,
            vec![format!("{auth}={}", file("users", "a:$2y$05$hash\n"))],
            "holds a hash",
        ),
        (auth, vec![format!("{auth}=/nonexistent/users")], "No such file"),
        (
            tls,
            vec![format!("{tls}={}", file("x", "")), format!("http.tls.key_file={key}")],
            "no certificate",
        ),
        (tls, vec![format!("{tls}={server}")], "needs key_file"),
        (
            tls,
            vec![
                format!("{tls}={server}"),
                format!("http.tls.key_file={}", pem("client.key").display()),
            ],
            "does not fit",
        ),
    ] {
        let mut all = settings.clone();
        all.push(format!("http.listen={}", free_address()));
        let output = agent(&all).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{text}");
        let last = text.lines().last().unwrap();
        assert!(last.contains(named) && last.contains(part), "{last}");
    }
    let doctor = |settings: &[String]| {
        let output = agent(settings).arg("doctor").output().unwrap();
        // It breaks long lines.
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let told = doctor(&["http.auth.bearer_token_file=/nonexistent/token".into()]);
    assert!(
        told.contains("FAIL http: http.auth.bearer_token_file = /nonexistent/token"),
        "{told}"
    );
    let open = doctor(&["http.listen=0.0.0.0:0".into()]);
    assert!(
        open.contains("without TLS and authentication") && open.contains("http.tls.cert_file"),
        "{open}"
    );
    let loopback = doctor(&["http.listen=[::1]:0".into()]);
    assert!(!loopback.contains("from the network"), "{loopback}");
}

/// Niceness of the threads of a process by their names.
fn niceness(pid: u32) -> BTreeMap<String, i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((name.to_owned(), rest.split_whitespace().nth(16)?.parse().ok()?))
    };
    tasks.flatten().filter_map(of).collect()
}

#[test]
fn listeners_are_served_behind_sampling_and_pushing() {
    let http = free_address();
    let mut command = agent(&[format!("http.listen={http}")]);
    command.stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
    log.find(|line| line.as_ref().unwrap().contains("serving http://"))
        .unwrap()
        .unwrap();
    let pid = running.0.id();
    // A thread gets its name some time after its start, and that which renders ends when it has nothing to do.
    let nice = wait_for("the threads", || {
        plain(http, &request("/metrics", "")).ok()?;
        let nice = niceness(pid);
        let all = ["agent", "pipeline", "http", "http-render"];
        all.iter().all(|thread| nice.contains_key(*thread)).then_some(nice)
    });
    for thread in ["http", "http-render"] {
        assert!(
            nice[thread] > nice["agent"] && nice[thread] > nice["pipeline"],
            "{nice:?}"
        );
    }
}
