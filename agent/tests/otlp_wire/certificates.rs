//! Certificates that openssl makes and this client refuses: each has its remedy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::remedies::assert_advised;
use crate::tls::tls_destination;
use accelscope_export::otlp::Protocol;
use tempfile::TempDir;

/// Key of a modern certificate.
const EC: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
/// Key that is too short.
const WEAK: &[&str] = &["-newkey", "rsa:1024"];
const OF_SERVER: &str = "subjectAltName=IP:127.0.0.1";

/// Certificates in a folder: of each the files NAME.pem and NAME.key.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "openssl {arguments:?}: {said}");
    }

    /// One that is its own issuer.
    fn root(&self, name: &str, key: &[&str], extension: &str) {
        let (pem, key_file) = (format!("{name}.pem"), format!("{name}.key"));
        let fixed = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=lab"];
        let files = ["-out", &pem, "-keyout", &key_file, "-addext", extension];
        self.openssl(&[&fixed[..], &files, key].concat());
    }

    /// One that `issuer` signs, with these extensions, a line each. Without any openssl makes one of version 1.
    fn issue(&self, name: &str, issuer: &str, key: &[&str], extensions: &str, options: &[&str]) {
        let [pem, key_file, request, file] = ["pem", "key", "csr", "cnf"].map(|kind| format!("{name}.{kind}"));
        let [issuer_pem, issuer_key] = ["pem", "key"].map(|kind| format!("{issuer}.{kind}"));
        let fixed = [
            "req",
            "-new",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-out",
            &request,
            "-keyout",
            &key_file,
        ];
        self.openssl(&[&fixed[..], key].concat());
        fs::write(self.path(&file), extensions).unwrap();
        let mut sign = vec![
            "x509",
            "-req",
            "-days",
            "30",
            "-CAcreateserial",
            "-in",
            &request,
            "-out",
            &pem,
        ];
        sign.extend(["-CA", &issuer_pem, "-CAkey", &issuer_key]);
        if !extensions.is_empty() {
            sign.extend(["-extfile", &file]);
        }
        self.openssl(&[&sign[..], options].concat());
    }

    /// A server with the certificate of this name, and with those of `above` behind it.
    fn serve(&self, name: &str, above: Option<&str>) -> Server {
        let mut server = Command::new("openssl");
        server.args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cipher",
            "DEFAULT@SECLEVEL=0",
            "-www",
        ]);
        server.arg("-cert").arg(self.path(&format!("{name}.pem")));
        server.arg("-key").arg(self.path(&format!("{name}.key")));
        if let Some(above) = above {
            server.arg("-cert_chain").arg(self.path(&format!("{above}.pem")));
        }
        // It ends when its input does.
        server
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = server.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned()));
        // It must not stop for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(address) = address else {
            panic!("openssl s_server ended: {:?}", child.wait());
        };
        Server { child, address }
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn assert_refused(server: &Server, ca: &Path, reason: &str, remedy: &str) {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let mut to = tls_destination(protocol, &server.address);
        to.name = format!("{reason} {remedy} {protocol:?}");
        to.tls.ca_file = Some(ca.to_owned());
        assert_advised(to, reason, remedy).await;
    }
}

/// Whether there is an openssl; says so if not.
fn has_openssl() -> bool {
    let has = Command::new("openssl").arg("version").output().is_ok();
    if !has {
        skip_test::skip("openssl", "there is no such program");
    }
    has
}

#[tokio::test]
async fn of_a_server() {
    if !has_openssl() {
        return;
    }
    let lab = Authority::new();
    lab.root("ca", EC, "keyUsage=critical,keyCertSign");
    let ca = lab.path("ca.pem");
    let sha1: &[&str] = &["-sha1"];
    let critical = format!("{OF_SERVER}\n1.2.3.4=critical,ASN1:UTF8String:x");
    let of_client = format!("{OF_SERVER}\nextendedKeyUsage=clientAuth");
    for (extensions, key, options, reason, remedy) in [
        (
            "basicConstraints=CA:FALSE",
            EC,
            &[][..],
            "tls_no_alternative_name",
            "issue one with subjectAltName=DNS:",
        ),
        (
            "subjectAltName=DNS:c.example",
            EC,
            &[],
            "tls_address",
            "issue one with subjectAltName=IP:",
        ),
        (
            "subjectAltName=IP:10.1.2.3",
            EC,
            &[],
            "tls_address",
            "write a host that it names",
        ),
        (&of_client, EC, &[], "tls_purpose", "extendedKeyUsage=serverAuth"),
        (OF_SERVER, EC, sha1, "tls_algorithm", "SHA-256"),
        (OF_SERVER, WEAK, &[], "tls_signature", "less than 2048 bits"),
        ("", EC, &[], "tls_version", "of version 3"),
        (&critical, EC, &[], "tls_extension", "issue it without"),
    ] {
        lab.issue("server", "ca", key, extensions, options);
        assert_refused(&lab.serve("server", None), &ca, reason, remedy).await;
    }
}

#[tokio::test]
async fn of_an_authority() {
    if !has_openssl() {
        return;
    }
    let lab = Authority::new();
    // As the first thing one tries makes it: one certificate for both.
    lab.root("both", EC, OF_SERVER);
    assert_refused(
        &lab.serve("both", None),
        &lab.path("both.pem"),
        "tls_authority_as_server",
        "basicConstraints=CA:FALSE",
    )
    .await;
    lab.root("ca", EC, "keyUsage=critical,keyCertSign");
    let ca = lab.path("ca.pem");
    for (above, reason, remedy) in [
        (
            "basicConstraints=CA:FALSE",
            "tls_issuer",
            "basicConstraints=critical,CA:TRUE",
        ),
        (
            "basicConstraints=critical,CA:TRUE\nnameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0",
            "tls_issuer",
            "nameConstraints",
        ),
    ] {
        lab.issue("between", "ca", EC, above, &[]);
        lab.issue("server", "between", EC, OF_SERVER, &[]);
        assert_refused(&lab.serve("server", Some("between")), &ca, reason, remedy).await;
    }
    let not_sent = lab.serve("server", None);
    assert_refused(&not_sent, &ca, "tls_unknown_issuer", "authorities in between").await;
    // Another one of the same name, and one whose key is too short.
    lab.root("other", EC, "keyUsage=critical,keyCertSign");
    lab.issue("server", "ca", EC, OF_SERVER, &[]);
    let server = lab.serve("server", None);
    assert_refused(&server, &lab.path("other.pem"), "tls_signature", "of the same name").await;
    lab.root("weak", WEAK, "keyUsage=critical,keyCertSign");
    lab.issue("server", "weak", EC, OF_SERVER, &[]);
    let server = lab.serve("server", None);
    assert_refused(&server, &lab.path("weak.pem"), "tls_signature", "less than 2048 bits").await;
}
