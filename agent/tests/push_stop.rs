//! A stopping agent ends the series that nobody continues.
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod nvml_support;
mod program_support;
mod receiver_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nvml_support::{Fake, h100};
use program_support::{Running, wait_for};
use receiver_support::{Pushed, Receiver, assert_ordered};
use rustix::process::Signal;

/// A root directory of a host, with the processes and devices of this machine.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["proc", "sys"] {
        std::os::unix::fs::symlink(Path::new("/").join(name), root.path().join(name)).unwrap();
    }
    root
}

/// An agent of the host at `root`; `label` is a resource attribute of the operator's.
fn agent(root: &Path, fake: &Fake, receiver: &Receiver, label: &str) -> Running {
    agent_with(root, fake, receiver, label, &[])
}

fn agent_with(root: &Path, fake: &Fake, receiver: &Receiver, label: &str, more: &[String]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null());
    let mut settings = receiver.settings();
    settings.extend(fake.settings());
    settings.extend([
        format!("host.root={}", root.display()),
        "http.enabled=false".to_owned(),
        format!("resource.deployment.environment.name={label}"),
    ]);
    settings.extend_from_slice(more);
    for setting in settings {
        command.args(["--set", &setting]);
    }
    Running::start(command)
}

/// Time that the agent has for its last push (`SHUTDOWN` in `runtime/daemon.rs`).
const LAST_PUSH: Duration = Duration::from_secs(2);
/// How often a scenario is played where the machine leaves the agent no time for its last push.
const TRIES: usize = 10;

/// Plays it until the agent had the time for its last push, which it must have had once.
fn once_in_time(mut scenario: impl FnMut() -> Option<()>) {
    let is_played = (0..TRIES).any(|_| scenario().is_some());
    assert!(is_played, "every stop took {LAST_PUSH:?} or more");
}

/// Ends the agent; `None` where that took so long that its last push may have been cut short.
fn stopped(agent: &mut Running, signal: Signal) -> Option<()> {
    let asked = Instant::now();
    agent.signal(signal);
    let code = agent.exit_code();
    (asked.elapsed() < LAST_PUSH).then(|| assert_eq!(code, Some(0)))
}

/// Waits until each of so many agents has pushed with this label, and power of the GPU twice as often. Each counts its
/// samples from its own start.
fn wait_for_power(receiver: &Receiver, label: &str, agents: usize) {
    wait_for_more_power(receiver, label, agents, 0);
}

/// The same among the points after the first `before`.
fn wait_for_more_power(receiver: &Receiver, label: &str, agents: usize, before: usize) {
    wait_for("power of the GPU", || {
        let points = receiver.points();
        let new: Vec<_> = points
            .iter()
            .skip(before)
            .filter(|point| is_of(point, label) && !point.is_end)
            .collect();
        let sampled = [("agent.sampler", "nvidia"), ("agent.outcome", "sampled")];
        let runs = new
            .iter()
            .filter(|point| point.name == "agent.sampler.runs" && point.has(&sampled));
        let starts: BTreeSet<u64> = runs.map(|point| point.start).collect();
        let power = new.iter().filter(|point| point.name == "hw.power").count();
        (starts.len() >= agents && power >= 2 * agents).then_some(())
    });
}

fn is_of(point: &Pushed, label: &str) -> bool {
    point
        .resource
        .get("deployment.environment.name")
        .is_some_and(|found| found == label)
}

/// The points of each series with this label.
fn series(receiver: &Receiver, label: &str) -> BTreeMap<String, Vec<Pushed>> {
    let mut all: BTreeMap<String, Vec<Pushed>> = BTreeMap::new();
    for point in receiver.points().into_iter().filter(|point| is_of(point, label)) {
        all.entry(point.series()).or_default().push(point);
    }
    all
}

#[test]
fn a_signal_ends_every_series_once_after_its_last_value() {
    for signal in [Signal::TERM, Signal::INT] {
        once_in_time(|| {
            let (root, fake, receiver) = (
                tempfile::tempdir().unwrap(),
                Fake::new(vec![h100(0)]),
                Receiver::start(),
            );
            let mut agent = agent(root.path(), &fake, &receiver, "lab");
            wait_for_power(&receiver, "lab", 1);
            stopped(&mut agent, signal)?;
            let all = series(&receiver, "lab");
            let mut histograms = 0;
            for (name, points) in &all {
                let (last, before) = points.split_last().unwrap();
                assert!(last.is_end, "{name} goes on: {last:?}");
                assert!(before.iter().all(|point| !point.is_end), "{name} ended twice");
                if let (Some(end), Some(value)) = (&last.buckets, before.last().and_then(|last| last.buckets.as_ref()))
                {
                    histograms += 1;
                    assert_eq!(end.0, value.0, "bounds of {name}");
                    assert_eq!((end.1.len(), end.2), (value.1.len(), Some(0.0)), "{name}");
                }
            }
            assert!(all.len() > 50 && histograms > 0, "{} series", all.len());
            assert_ordered(&receiver.points());
            Some(())
        });
    }
}

/// As in a rolling restart with a surge: the new one runs before the old one stops.
#[test]
fn series_that_another_agent_on_the_node_continues_do_not_end() {
    once_in_time(|| {
        let (root, fake, receiver) = (
            tempfile::tempdir().unwrap(),
            Fake::new(vec![h100(0)]),
            Receiver::start(),
        );
        let mut old = agent(root.path(), &fake, &receiver, "lab");
        wait_for_power(&receiver, "lab", 1);
        let mut new = agent(root.path(), &fake, &receiver, "lab");
        wait_for_power(&receiver, "lab", 2);
        stopped(&mut old, Signal::TERM)?;
        wait_for_more_power(&receiver, "lab", 1, receiver.points().len());
        let ended = receiver.points().into_iter().find(|point| point.is_end);
        assert!(ended.is_none(), "{ended:?}");
        stopped(&mut new, Signal::TERM)?;
        let is_whole = series(&receiver, "lab")
            .values()
            .all(|points| points.last().unwrap().is_end);
        assert!(is_whole, "the last one ends them");
        Some(())
    });
}

/// The other one's series have another label, another receiver, or are of another node.
#[test]
fn series_that_another_agent_has_under_another_label_end() {
    once_in_time(|| {
        let (root, fake, receiver) = (
            tempfile::tempdir().unwrap(),
            Fake::new(vec![h100(0)]),
            Receiver::start(),
        );
        let (elsewhere, other_root) = (Receiver::start(), host());
        let mut old = agent(root.path(), &fake, &receiver, "old");
        let _labelled = agent(root.path(), &fake, &receiver, "new");
        let _of_other_receiver = agent(root.path(), &fake, &elsewhere, "old");
        let _of_other_node = agent(other_root.path(), &fake, &elsewhere, "old");
        wait_for_power(&receiver, "old", 1);
        wait_for_power(&receiver, "new", 1);
        wait_for_power(&elsewhere, "old", 2);
        stopped(&mut old, Signal::TERM)?;
        let all = series(&receiver, "old");
        let live: Vec<_> = all
            .iter()
            .filter(|(_, points)| !points.last().unwrap().is_end)
            .collect();
        assert!(live.is_empty(), "{live:?}");
        let others = receiver.points().into_iter().chain(elsewhere.points());
        let ended = others.filter(|point| point.is_end).find(|point| !is_of(point, "old"));
        assert!(ended.is_none(), "{ended:?}");
        Some(())
    });
}

/// The other one is of another version or has settings by which it may lack some series, which nobody else would end.
#[test]
fn series_end_where_the_other_agent_may_not_have_the_same_ones() {
    let differences = [
        "nvidia.enabled=false",
        "ioctl.enabled=true",
        "kubelet.root=/var/lib/other",
        "attribution.per_process=true",
        "attribution.engine_directories=[\"/mnt/docker\"]",
        "limits.series=100",
        "resource.service.version=0.0.1",
    ];
    for difference in differences {
        once_in_time(|| {
            let (root, fake) = (tempfile::tempdir().unwrap(), Fake::new(vec![h100(0)]));
            let (receiver, also) = (Receiver::start(), Receiver::start());
            let mut old = agent(root.path(), &fake, &receiver, "lab");
            wait_for_power(&receiver, "lab", 1);
            // A second destination shows that the new one pushes.
            let edge = format!("otlp.destinations.also.endpoint=http://{}", also.address);
            let more = [edge, difference.to_owned()];
            let _new = agent_with(root.path(), &fake, &receiver, "lab", &more);
            wait_for("the other agent", || (!also.points().is_empty()).then_some(()));
            stopped(&mut old, Signal::TERM)?;
            let all = series(&receiver, "lab");
            let of_gpu: Vec<_> = all.iter().filter(|(name, _)| name.starts_with("hw.")).collect();
            assert!(of_gpu.len() > 10, "{difference}: {} series", of_gpu.len());
            for (name, points) in of_gpu {
                let ends = points.iter().filter(|point| point.is_end).count();
                assert_eq!(ends, 1, "{name} with {difference}");
            }
            Some(())
        });
    }
}

/// An agent that reads its endpoint from a file, and that file.
fn agent_of_file(root: &Path, fake: &Fake, receiver: &Receiver, file: &Path) -> Running {
    std::fs::write(file, endpoint(receiver)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .args(["--config", file.to_str().unwrap()]);
    let mut settings = fake.settings();
    settings.extend([
        format!("host.root={}", root.display()),
        "http.enabled=false".to_owned(),
        "resource.deployment.environment.name=lab".to_owned(),
    ]);
    for setting in settings {
        command.args(["--set", &setting]);
    }
    Running::start(command)
}

fn endpoint(receiver: &Receiver) -> String {
    let address = receiver.address;
    format!(
        "[otlp]\nendpoint = \"http://{address}\"\nprotocol = \"http/protobuf\"\ninterval = \"1s\"\ntimeout = \"10m\"\n"
    )
}

/// Another agent pushes the same series to this receiver after a reload, or no longer.
#[test]
fn who_continues_the_series_follows_the_endpoint_of_a_reload() {
    for moves_here in [false, true] {
        once_in_time(|| {
            let (root, fake) = (tempfile::tempdir().unwrap(), Fake::new(vec![h100(0)]));
            let (here, elsewhere) = (Receiver::start(), Receiver::start());
            let files = tempfile::tempdir().unwrap();
            let mut old = agent_of_file(root.path(), &fake, &here, &files.path().join("old.toml"));
            let (from, to) = if moves_here {
                (&elsewhere, &here)
            } else {
                (&here, &elsewhere)
            };
            let file = files.path().join("new.toml");
            let new = agent_of_file(root.path(), &fake, from, &file);
            wait_for_power(&here, "lab", if moves_here { 1 } else { 2 });
            wait_for_power(from, "lab", 1);
            std::fs::write(&file, endpoint(to)).unwrap();
            new.signal(Signal::HUP);
            // The old one pushes to the first one too.
            wait_for_power(to, "lab", if moves_here { 2 } else { 1 });
            stopped(&mut old, Signal::TERM)?;
            let ended = here.of("hw.power").iter().any(|point| point.is_end);
            assert_eq!(ended, !moves_here, "the other one moves here: {moves_here}");
            Some(())
        });
    }
}
