//! What `check-config` says, and an endpoint as people write it.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod receiver_support;

use std::process::{Command, Stdio};

use program_support::{Logged, wait_for};
use receiver_support::Receiver;

/// What `check-config` prints of that configuration, and whether it takes it.
fn check(text: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().arg("check-config").arg(&file).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_name_that_is_near_no_key_gets_no_suggestion_and_a_misspelt_one_does() {
    for far in [
        "[server]\nlisten = \"127.0.0.1:1\"\n",
        "[serving]\n",
        "[agent]\n",
        "[metrics]\n",
    ] {
        let (is_right, said) = check(far);
        assert!(!is_right, "{said}");
        assert!(said.contains("unknown key"), "{said}");
        assert!(!said.contains("limits.series"), "{said}");
        assert!(!said.contains("did you mean"), "{said}");
        assert!(said.contains("otlp"), "it lists the sections: {said}");
    }
    for (near, key) in [
        ("[limits]\nserie = 1\n", "limits.series"),
        ("[htpp]\nenabled = true\n", "http"),
    ] {
        let (is_right, said) = check(near);
        assert!(!is_right && said.contains(&format!("did you mean {key}")), "{said}");
    }
}

#[test]
fn a_scheme_in_capitals_is_one() {
    for scheme in ["HTTP", "Http"] {
        let receiver = Receiver::start();
        let endpoint = format!("{scheme}://{}", receiver.address);
        let (is_right, said) = check(&format!("[otlp]\nendpoint = \"{endpoint}\"\n"));
        assert!(is_right, "{said}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.env_clear().stdin(Stdio::null());
        for setting in [
            &format!("otlp.endpoint={endpoint}"),
            "otlp.protocol=http/protobuf",
            "otlp.interval=100ms",
            "http.enabled=false",
        ] {
            command.args(["--set", setting]);
        }
        let _agent = Logged::start(command);
        wait_for("a push", || (!receiver.points().is_empty()).then_some(()));
    }
}
