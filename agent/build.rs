//! Records what this build is made of, for `agent --version` and the metric of the build.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ACCELSCOPE_REVISION");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("ACCELSCOPE_RUSTC", line(&rustc, &["--version"]).as_deref());
    set("ACCELSCOPE_TARGET", std::env::var("TARGET").ok().as_deref());
    // A package is built from an archive without history: its builder gives the revision.
    let given = std::env::var("ACCELSCOPE_REVISION")
        .ok()
        .filter(|revision| !revision.is_empty());
    let revision = given.or_else(|| line("git", &["rev-parse", "--short=12", "HEAD"]));
    set("ACCELSCOPE_REVISION", revision.as_deref());
    if let Some(log) = line("git", &["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo:rerun-if-changed={log}");
    }
}

fn set(name: &str, value: Option<&str>) {
    println!("cargo:rustc-env={name}={}", value.unwrap_or("unknown"));
}

fn line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
