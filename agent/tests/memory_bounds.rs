//! What one user writes takes no memory without bound, and nothing of another's.
#![cfg(feature = "hailo")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;

use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message};
use program_support::{Running, get, wait_for};
use prost::Message;

/// Most memory of the agent in KiB: its budget, and a third more for what the allocator holds. A debug build takes some 8 MiB
/// more than what is released.
const MOST: u64 = 64 << 10;
/// Networks in one write, and writes with other names.
const NETWORKS: usize = 2500;
const WRITES: usize = 15;

/// Largest resident memory so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// Replaces the writer's file.
fn write(host: &Host, writer: &Writer, user: u32, message: &ProtoMon) {
    let path = host.dir().join(writer.name());
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, message.encode_to_vec()).unwrap();
    chown(&temporary, Some(user), None).unwrap();
    fs::rename(temporary, path).unwrap();
}

fn page(address: SocketAddr) -> String {
    get(address, "/metrics").map(|answer| answer.body).unwrap_or_default()
}

fn value(page: &str, start: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(start))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn fresh_names_at_each_write_cost_a_bounded_amount_of_memory_and_none_of_another_s_series() {
    if !is_root("fresh_names_at_each_write_cost_a_bounded_amount_of_memory_and_none_of_another_s_series") {
        return;
    }
    let (host, address) = (Host::new().with_device(), free_address());
    let (victim, flooder) = (Writer::new(None), Writer::of_user(OTHER, None));
    let listen = format!("http.listen={address}");
    // Nobody takes what is pushed, so that the queue is full too.
    let nowhere = format!("otlp.endpoint=http://{}", free_address());
    let settings = [&*listen, &*nowhere, "otlp.interval=1s", "hailo.min_interval=100ms"];
    let arguments: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let agent = Running::start(host.command(&[], &arguments));
    let root = rustix::process::geteuid().as_raw();
    let mut newest = String::new();
    for nth in 0..WRITES {
        let networks = (0..NETWORKS).map(|network| ProtoMonInfo {
            network_name: format!("flood-{nth}-{network}-{}", "x".repeat(60)),
            fps: 10.0,
            utilization: 5.0,
        });
        let flood = ProtoMon {
            networks_infos: networks.collect(),
            ..message(flooder.pid(), 5.0)
        };
        let fresh = format!("\"flood-{nth}-");
        newest = wait_for("the newest names and the other user's series", || {
            // A file that is not written again is soon shown no more.
            write(&host, &flooder, OTHER, &flood);
            write(&host, &victim, root, &message(victim.pid(), 57.0));
            let page = page(address);
            let own = page.lines().filter(|line| line.contains("hailo_network_name=\"yolo\""));
            (page.contains(&fresh) && own.count() >= 3).then(|| page.clone())
        });
    }
    let page = newest;
    let is_victim_s = |line: &&str| line.starts_with("hailo_network_frame_rate") && line.contains("\"yolo\"");
    let of_victim = page.lines().find(is_victim_s).and_then(|line| line.rsplit_once(' '));
    assert_eq!(of_victim.map(|(_, value)| value), Some("30"));
    let sums = |name: &str, reason: &str| -> f64 {
        let lines = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(reason));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    let left_out = sums("agent_sampler_skipped", "too_many_new");
    let forgotten = sums("agent_memory_forgotten_total", "");
    assert!(left_out + forgotten > 0.0, "what was left out or forgotten is counted");
    let limit = value(&page, "agent_memory_limit_bytes").unwrap();
    assert!(limit <= 48.0 * 1024.0 * 1024.0, "{limit}");
    let peak = peak(agent.0.id());
    assert!(peak < MOST, "{peak} KiB");
}
