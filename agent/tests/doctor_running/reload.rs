//! An agent that runs by a file which has changed since its start.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::program_support::Logged;
use super::*;

/// A host with a configuration file, which has all settings.
struct Configured {
    host: Host,
    file: PathBuf,
}

/// The program with nothing but these arguments.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(AGENT);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).stdin(Stdio::null());
    command.args(arguments);
    command
}

impl Configured {
    fn new() -> Self {
        let host = Host::new();
        let file = host.folder.path().join("agent.toml");
        let configured = Self { host, file };
        configured.write(&[]);
        configured
    }

    /// Writes the file; the last value of a key counts.
    fn write(&self, more: &[(&str, &str)]) {
        let settings = self.host.settings();
        let settings = settings.iter().map(|setting| setting.split_once('=').unwrap());
        let mut values = std::collections::BTreeMap::new();
        values.extend(settings.chain(more.iter().copied()));
        let mut text = String::new();
        for (key, value) in values {
            let quote = if matches!(value, "true" | "false") { "" } else { "\"" };
            writeln!(text, "{key} = {quote}{value}{quote}").unwrap();
        }
        std::fs::write(&self.file, text).unwrap();
    }

    /// An agent that is ready, started in the file's folder.
    fn agent(&self) -> Logged {
        let mut command = command(&["--config", "agent.toml"]);
        command.current_dir(self.host.folder.path());
        let agent = Logged::start(command);
        wait_for("the agent to be ready", || {
            get(self.host.listen, "/readyz").filter(|answer| answer.status == 200)
        });
        agent
    }

    /// What the doctor says about a subject.
    fn said(&self, about: &str) -> String {
        let file = self.file.to_str().unwrap();
        let output = command(&["doctor", "--json", "--config", file]).output().unwrap();
        said(&serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap(), about)
    }
}

#[test]
fn a_running_agent_is_found_by_its_file_whatever_has_changed_in_it() {
    let configured = Configured::new();
    let agent = configured.agent();
    let found = format!("as pid {} (agent)", agent.running.0.id());
    let (listen, view) = (free_address().to_string(), free_address().to_string());
    let root = configured.host.folder.path().join("root2");
    std::fs::create_dir_all(root.join("sys/class")).unwrap();
    std::os::unix::fs::symlink("/proc", root.join("proc")).unwrap();
    let root = root.to_str().unwrap();
    let others = format!("0.0.0.0:{}", configured.host.listen.port());
    for changes in [
        &[("http.listen", listen.as_str())][..],
        &[("http.listen", others.as_str())],
        &[("host.root", root)],
        &[("compat.hailo_exporter.listen", view.as_str())],
        &[("http.enabled", "false"), ("otlp.enabled", "true")],
    ] {
        configured.write(changes);
        let text = configured.said("agent");
        assert!(text.contains(&found), "{changes:?}: {text}");
        let changed = format!("{} = ", changes[0].0);
        let line = text.lines().find(|line| line.contains("has other settings"));
        assert!(line.is_some_and(|line| line.contains(&changed)), "{changes:?}: {text}");
    }
    // The address of all interfaces is not to be had beside that of the agent.
    configured.write(&[("http.listen", &others)]);
    let text = configured.said("http");
    assert!(text.contains("is the running agent's"), "{text}");

    // Another one by the same file: none of them is the one that is meant.
    configured.write(&[]);
    let mut second = command(&["--config", configured.file.to_str().unwrap()]);
    second.args(["--set", &format!("http.listen={view}")]);
    let second = Logged::start(second);
    second.wait_for("serving http://");
    configured.write(&[("http.listen", &listen)]);
    let text = wait_for("the second agent's socket", || {
        Some(configured.said("agent")).filter(|text| !text.contains("runs since"))
    });
    assert!(text.contains("none runs with this configuration"), "{text}");
}

#[test]
fn what_a_reload_left_to_a_restart_or_refused_is_named() {
    let configured = Configured::new();
    let agent = configured.agent();
    let pid = format!("as pid {} (agent)", agent.running.0.id());
    let hang_up = |words: &str| {
        agent.running.signal(Signal::HUP);
        agent.wait_for(words);
    };
    configured.write(&[("http.listen", &free_address().to_string()), ("log.format", "json")]);
    hang_up("needs a restart of the agent: http.listen, log.format");
    let text = configured.said("agent");
    assert!(text.contains(&pid), "{text}");
    let line = text.lines().find(|line| line.contains("but for what needs a restart"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.starts_with("warn ") && line.contains(": http.listen, log.format -> restart the agent"),
        "{line}"
    );

    configured.write(&[("log.format", "loud")]);
    hang_up("not reloaded");
    configured.write(&[]);
    let text = configured.said("agent");
    let line = text.lines().find(|line| line.contains("was not taken"));
    assert!(line.is_some_and(|line| line.contains("log.format")), "{text}");

    hang_up("reloaded: configuration and credentials were read again");
    let text = configured.said("agent");
    assert!(text.contains(&pid) && !text.contains("was read again at"), "{text}");
}
