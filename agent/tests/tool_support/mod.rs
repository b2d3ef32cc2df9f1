//! A script or file that stands for the tool `npu-smi`, and the program that calls it.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with what stands for the tool.
pub(crate) struct Tool(tempfile::TempDir);

impl Tool {
    /// A shell script, in which HERE is the folder.
    pub(crate) fn script(body: &str) -> Self {
        let tool = Self(tempfile::tempdir().unwrap());
        let body = body.replace("HERE", &tool.folder().display().to_string());
        tool.put(format!("#!/bin/sh\n{body}\n").as_bytes(), 0o755);
        tool
    }

    pub(crate) fn file(content: &[u8], mode: u32) -> Self {
        let tool = Self(tempfile::tempdir().unwrap());
        tool.put(content, mode);
        tool
    }

    fn put(&self, content: &[u8], mode: u32) {
        let new = self.folder().join("new");
        std::fs::write(&new, content).unwrap();
        std::fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
        // A file that another thread's child still holds open for writing cannot be started.
        let copied = Command::new("cp")
            .arg("-p")
            .args([&new, &self.path()])
            .status()
            .unwrap();
        assert!(copied.success());
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("npu-smi")
    }

    /// What a file of the folder has; nothing where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// The program, which is to call this tool and look for no other accelerator's library.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Command {
        calling(&self.path(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.agent(arguments).output().unwrap()
    }

    /// What `doctor` prints, on one line.
    pub(crate) fn doctor(&self) -> String {
        explained(self.agent(&["doctor"]))
    }
}

/// The program with this path as that of the tool.
pub(crate) fn calling(tool: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("ACCELSCOPE__NVIDIA__ENABLED", "false")
        // A tool that works is not killed where the machine is slow.
        .env("ACCELSCOPE__ASCEND__TIMEOUT", "2m")
        .args(arguments)
        .args(["--set", &format!("ascend.npu_smi={}", tool.display())])
        .args(["--set", "ascend.require_admin=false", "--set", "ascend.backend=npu-smi"])
        .stdin(Stdio::null());
    command
}

/// What a command prints, on one line.
pub(crate) fn explained(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
