//! The program in a control group with a limit of memory: its budget follows from it, and a flood does not end it.
//! As root, where such groups can be made.
#![cfg(feature = "hailo")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod group_support;
mod hailo_host;
mod program_support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message};
use program_support::{Running, get, wait_for};
use prost::Message;

const MIB: u64 = 1 << 20;

/// A group of memory, of either version of control groups.
struct Group(PathBuf);

impl Group {
    /// `None` where no group can be made.
    fn limited(bytes: u64) -> Option<Self> {
        let name = format!("accelscope-test-{}", group_support::new_id());
        for (parent, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let path = Path::new(parent).join(&name);
            if !Path::new(parent).join("cgroup.procs").exists() || fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            if fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        skip_test::skip("cgroups", "no control group with a limit of memory can be made");
        None
    }

    /// A command that runs another one in the group.
    fn command(&self, command: &Command) -> Command {
        let mut within = Command::new("sh");
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        within.args(["-c", &script, "sh"]).arg(command.get_program());
        within.args(command.get_args()).env_clear().env("PATH", "/usr/bin:/bin");
        within.stdin(Stdio::null());
        within
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        group_support::remove(std::slice::from_ref(&self.0));
    }
}

/// A metric of the agent itself without attributes.
fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn the_budget_follows_from_the_limit_of_the_control_group() {
    if !is_root("the_budget_follows_from_the_limit_of_the_control_group") {
        return;
    }
    for (limit, expected) in [(40 * MIB, 30 * MIB), (512 * MIB, 48 * MIB)] {
        let Some(group) = Group::limited(limit) else { return };
        let (host, pull) = (Host::new(), free_address());
        let listen = format!("http.listen={pull}");
        let agent = host.command(&[], &["--set", &listen, "--set", "otlp.enabled=false"]);
        let running = Running::start(group.command(&agent));
        let page = wait_for("the agent's own metrics", || {
            get(pull, "/metrics").filter(|answer| answer.body.contains("agent_memory_"))
        });
        let budget = value(&page.body, "agent_memory_limit_bytes");
        assert_eq!(budget, Some(expected as f64), "{}", page.body);
        drop(running);
    }
}

/// Names that are new with each write, while nobody takes what is pushed.
#[test]
fn a_flood_does_not_end_an_agent_whose_group_has_twice_its_budget() {
    if !is_root("a_flood_does_not_end_an_agent_whose_group_has_twice_its_budget") {
        return;
    }
    let Some(group) = Group::limited(96 * MIB) else { return };
    let (host, pull, nowhere) = (Host::new().with_device(), free_address(), free_address());
    let (victim, flooder) = (Writer::new(None), Writer::of_user(OTHER, None));
    let settings = [
        &*format!("http.listen={pull}"),
        &*format!("otlp.endpoint=http://{nowhere}"),
        "otlp.interval=1s",
        "hailo.min_interval=100ms",
    ];
    let arguments: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let mut agent = Running::start(group.command(&host.command(&[], &arguments)));
    let write = |writer: &Writer, user: u32, message: &ProtoMon| {
        let path = host.dir().join(writer.name());
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, message.encode_to_vec()).unwrap();
        chown(&temporary, Some(user), None).unwrap();
        fs::rename(temporary, path).unwrap();
    };
    for nth in 0..60 {
        let networks = (0..4000).map(|network| ProtoMonInfo {
            network_name: format!("flood-{nth}-{network}-{}", "x".repeat(200)),
            fps: 10.0,
            utilization: 5.0,
        });
        let flood = ProtoMon {
            networks_infos: networks.collect(),
            ..message(flooder.pid(), 5.0)
        };
        write(&flooder, OTHER, &flood);
        let mut own = message(victim.pid(), 57.0);
        own.networks_infos[0].fps = f64::from(1000 + nth);
        let shown = format!(" {}", 1000 + nth);
        wait_for("the other user's newest value", || {
            assert_eq!(agent.0.try_wait().unwrap(), None, "the agent has ended at write {nth}");
            write(&victim, 0, &own);
            let page = get(pull, "/metrics")?.body;
            let mut rates = page.lines().filter(|line| line.starts_with("hailo_network_frame_rate"));
            rates
                .any(|line| line.contains("\"yolo\"") && line.ends_with(&shown))
                .then_some(())
        });
    }
}
