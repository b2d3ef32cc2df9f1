//! In an outage a flood of series costs its author's points, and nobody else's.
#![cfg(feature = "hailo")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;
mod receiver_support;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::chown;

use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message};
use program_support::{Running, get, wait_for};
use prost::Message;
use receiver_support::Receiver;

const NETWORKS: usize = 1500;

/// Replaces the writer's file by one with these networks.
fn write(host: &Host, writer: &Writer, user: u32, networks: impl Iterator<Item = String>, fps: f64) {
    let networks = networks.map(|network_name| ProtoMonInfo {
        network_name,
        fps,
        utilization: 5.0,
    });
    let message = ProtoMon {
        networks_infos: networks.collect(),
        ..message(writer.pid(), 5.0)
    };
    let path = host.dir().join(writer.name());
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, message.encode_to_vec()).unwrap();
    chown(&temporary, Some(user), None).unwrap();
    fs::rename(temporary, path).unwrap();
}

#[test]
fn a_flood_of_one_user_in_an_outage_drops_no_point_of_another() {
    if !is_root("a_flood_of_one_user_in_an_outage_drops_no_point_of_another") {
        return;
    }
    let (host, pull, push) = (Host::new().with_device(), free_address(), free_address());
    let (victim, flooder) = (Writer::new(None), Writer::of_user(OTHER, None));
    let root = rustix::process::geteuid().as_raw();
    let settings = [
        &format!("http.listen={pull}"),
        &format!("otlp.endpoint=http://{push}"),
        "otlp.protocol=http/protobuf",
        "otlp.interval=1s",
        "otlp.timeout=10m",
        "otlp.queue_bytes=3MiB",
        "hailo.min_interval=100ms",
        "hailo.max_age=1h",
    ];
    let arguments: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    let _agent = Running::start(host.command(&[], &arguments));
    let page = || get(pull, "/metrics").map(|answer| answer.body).unwrap_or_default();
    let sum = |page: &str, name: &str, label: &str| -> f64 {
        let lines = page
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(label));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    };
    let own = |fps| write(&host, &victim, root, ["yolo".to_owned()].into_iter(), fps);
    let queued = |page: &str| sum(page, "agent_export_points_total", "\"queued\"");
    // Collections with this value wait: two have been made since it was there.
    let before = wait_for("the victim's first value", || {
        own(1.0);
        let page = page();
        let is_victim_s = |line: &&str| line.starts_with("hailo_network_frame_rate") && line.contains("\"yolo\"");
        let shown = page.lines().find(is_victim_s)?;
        shown.ends_with(" 1").then(|| queued(&page))
    });
    let mut counts = vec![before];
    wait_for("two collections", || {
        own(1.0);
        let now = queued(&page());
        if counts.last() != Some(&now) {
            counts.push(now);
        }
        (counts.len() > 2).then_some(())
    });
    let mut fps = 2.0;
    wait_for("the queue to lose as much as it holds", || {
        let flood = (0..NETWORKS).map(|nth| format!("flood-{nth}-{}", "x".repeat(60)));
        write(&host, &flooder, OTHER, flood, fps);
        own(fps);
        fps += 1.0;
        let page = page();
        let dropped = sum(&page, "agent_export_dropped_total", "\"queue_full\"");
        (dropped > sum(&page, "agent_export_queue_points", "")).then_some(())
    });
    let receiver = Receiver::start_at(push);
    wait_for("the victim's first value, and the flood's newest", || {
        own(fps);
        let rates = receiver.of("hailo.network.frame_rate");
        let values = |name: &'static str| {
            let of = rates
                .iter()
                .filter(move |point| point.attributes.values().any(|text| text.starts_with(name)));
            of.filter_map(|point| point.value)
        };
        (values("yolo").any(|value| value < 1.5) && values("flood-").next().is_some()).then_some(())
    });
    // What is left of a series is in order.
    let mut newest: HashMap<String, u64> = HashMap::new();
    for point in receiver.points() {
        let before = newest.insert(point.series(), point.time);
        assert!(
            before.is_none_or(|before| before <= point.time),
            "{before:?}: {point:?}"
        );
    }
}
