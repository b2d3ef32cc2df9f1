//! The program behind the proxies that the environment names: both protocols of OTLP, and every variable.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use program_support::{Logged, wait_for};

/// A proxy that closes every connection, and the first lines of the requests.
fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let seen = lines.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let line = BufReader::new(client.unwrap()).lines().next();
            seen.lock().unwrap().extend(line.and_then(Result::ok));
        }
    });
    (address, lines)
}

/// An agent that pushes to that endpoint, with these variables.
fn agent(endpoint: &str, protocol: &str, variables: &[(&str, &str)]) -> Logged {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null());
    for setting in [
        &format!("otlp.endpoint={endpoint}"),
        &format!("otlp.protocol={protocol}"),
        "otlp.interval=100ms",
        "http.enabled=false",
    ] {
        command.args(["--set", setting]);
    }
    command.envs(variables.iter().copied());
    Logged::start(command)
}

#[test]
fn metrics_over_both_protocols_take_the_proxy_of_every_variable() {
    let tunnel = "CONNECT collector.invalid:4317 HTTP/1.1";
    let forwarded = "POST http://collector.invalid:4317/v1/metrics HTTP/1.1";
    for (protocol, scheme, variable, expected) in [
        ("grpc", "http", "HTTP_PROXY", tunnel),
        ("grpc", "http", "http_proxy", tunnel),
        ("grpc", "http", "ALL_PROXY", tunnel),
        ("grpc", "https", "HTTPS_PROXY", tunnel),
        ("grpc", "https", "all_proxy", tunnel),
        ("http/protobuf", "http", "HTTP_PROXY", forwarded),
        ("http/protobuf", "http", "ALL_PROXY", forwarded),
        ("http/protobuf", "https", "https_proxy", tunnel),
        ("http/protobuf", "https", "HTTPS_PROXY", tunnel),
    ] {
        let (address, lines) = proxy();
        let value = format!("http://{address}");
        let _agent = agent(
            &format!("{scheme}://collector.invalid:4317"),
            protocol,
            &[(variable, &value)],
        );
        let line = wait_for(&format!("{protocol} {scheme} through {variable}"), || {
            lines.lock().unwrap().first().cloned()
        });
        assert_eq!(line, expected, "{protocol} {scheme} {variable}");
    }
}

#[test]
fn what_no_proxy_names_and_the_other_schemes_variable_are_not_taken() {
    for (protocol, scheme, variable, no_proxy) in [
        ("grpc", "http", "HTTP_PROXY", "invalid"),
        ("grpc", "https", "ALL_PROXY", ".invalid,other.example"),
        ("http/protobuf", "http", "HTTP_PROXY", "collector.invalid:4317"),
        ("http/protobuf", "https", "HTTPS_PROXY", "*"),
        ("grpc", "https", "HTTP_PROXY", ""),
        ("http/protobuf", "http", "HTTPS_PROXY", ""),
    ] {
        let (address, lines) = proxy();
        let value = format!("http://{address}");
        let agent = agent(
            &format!("{scheme}://collector.invalid:4317"),
            protocol,
            &[(variable, &value), ("NO_PROXY", no_proxy)],
        );
        // Directly there is no such host.
        agent.wait_for("reason=\"dns\"");
        assert_eq!(*lines.lock().unwrap(), Vec::<String>::new(), "{variable} {no_proxy}");
    }
}
