//! The program and monitor files: among many of other users, as percentages, in the table, and as counters.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::{Duration, Instant};

use accelscope_proto::hailo::{ProtoMon, ProtoMonNetworkFrames, ProtoMonStreamFramesInfo};
use free_port::free_address;
use hailo_host::{Host, OTHER, Writer, is_root, message, named, put};
use program_support::{Running, get, wait_for};
use prost::Message;

/// Name of the nth file of a flood, with the process id of the living writer.
type Name = fn(u32, u32) -> String;

#[test]
fn no_user_pushes_the_file_of_another_out() {
    if !is_root("no_user_pushes_the_file_of_another_out") {
        return;
    }
    let writer = Writer::new(None);
    let started = Instant::now();
    wait_for("the writer to be older than its file", || {
        (started.elapsed() > Duration::from_millis(1500)).then_some(())
    });
    let floods: [(&str, Name); 4] = [
        ("of dead processes", |nth, _| format!("{}abcdef", 4_194_400 + nth)),
        ("with odd names", |nth, _| format!("\u{1b}[2J zz{nth}")),
        ("that claim the living process", |nth, pid| format!("{pid}{nth:06}")),
        ("of the machine's init", |nth, _| format!("1{nth:06}")),
    ];
    for (what, name) in floods {
        let host = Host::new().lasting().with_device();
        host.file_of(&writer, Duration::from_secs(1));
        for nth in 0..600 {
            let path = host.dir().join(name(nth, writer.pid()));
            fs::write(&path, message(writer.pid(), 99.0).encode_to_vec()).unwrap();
            chown(&path, Some(OTHER), None).unwrap();
        }
        // Other names of one file.
        for nth in 0..300 {
            fs::hard_link(
                host.dir().join(name(0, writer.pid())),
                host.dir().join(format!("{}{:06}", 1 + nth, nth)),
            )
            .ok();
        }
        // The age limit would pass while a slow machine made the files.
        host.file_of(&writer, Duration::from_secs(1));
        let points = host.look();
        let shown = named(&points, "hailo.process.utilization");
        assert_eq!(shown.len(), 1, "{what}: {shown:?}");
        assert_eq!(shown[0]["value"], 0.57, "{what}: {shown:?}");
        assert_eq!(shown[0]["attributes"]["process.pid"], writer.pid(), "{what}: {shown:?}");
    }
}

#[test]
fn the_exporter_s_view_has_the_percentage_that_was_written() {
    let float = f64::from(33.3_f32);
    for (written, shown) in [
        (&[57.0][..], "57.0"),
        (&[28.9], "28.9"),
        (&[10.0, 19.0], "29.0"),
        (&[float], "33.29999923706055"),
    ] {
        let host = Host::new().lasting().with_device();
        let writers: Vec<_> = written.iter().map(|_| Writer::new(Some("600000"))).collect();
        for (writer, percent) in writers.iter().zip(written) {
            fs::write(
                host.dir().join(writer.name()),
                message(writer.pid(), *percent).encode_to_vec(),
            )
            .unwrap();
        }
        let (pull, view) = (free_address(), free_address());
        let mut command = host.command(&[], &[]);
        command.args([
            "--set",
            &format!("http.listen={pull}"),
            "--set",
            &format!("compat.hailo_exporter.listen={view}"),
        ]);
        command.args(["--set", "otlp.enabled=false"]).stderr(Stdio::null());
        let _agent = Running::start(command);
        let found = wait_for("a value", || {
            let body = get(view, "/metrics")?.body;
            let line = body
                .lines()
                .find(|line| line.starts_with("hailo_NPU_utilization_percent{"))?
                .to_owned();
            let is_whole = writers.len() == 1 || !line.ends_with(" 10.0") && !line.ends_with(" 19.0");
            is_whole.then_some(line)
        });
        assert_eq!(found, format!("hailo_NPU_utilization_percent{{NPU=\"NPU\"}} {shown}"));
    }
}

#[test]
fn counters_of_rare_events_begin_at_zero() {
    let host = Host::new().lasting().with_device();
    let writer = Writer::new(None);
    let pull = free_address();
    let mut command = host.command(&[], &[]);
    command.args(["--set", &format!("http.listen={pull}"), "--set", "otlp.enabled=false"]);
    command.stderr(Stdio::null());
    let _agent = Running::start(command);
    let count = |name: &str, reason: &str| {
        let body = get(pull, "/metrics")?.body;
        let is_it = |line: &&str| line.starts_with(name) && line.contains("\"hailo\"") && line.contains(reason);
        Some(body.lines().find(is_it)?.rsplit_once(' ')?.1.to_owned())
    };
    let skipped = |reason| count("agent_sampler_skipped_total{", reason);
    for reason in [
        "malformed",
        "too_large",
        "unreadable",
        "writer_unseen",
        "too_many_files",
    ] {
        assert_eq!(wait_for(reason, || skipped(reason)), "0", "{reason}");
    }
    assert_eq!(count("agent_attribution_ambiguous_total{", "").as_deref(), Some("0"));
    fs::write(host.dir().join(writer.name()), b"\x0a\x017\x12\x03\x0a\x01\xff").unwrap();
    wait_for("the first malformed file", || {
        (skipped("malformed")? != "0").then_some(())
    });
}

#[test]
fn in_the_table_no_more_is_queued_than_the_most() {
    let host = Host::new().lasting().with_device();
    let writers = [Writer::new(Some("600000")), Writer::new(Some("600000"))];
    for (writer, queued) in writers.iter().zip([3, 2]) {
        let stream = ProtoMonStreamFramesInfo {
            stream_name: "yolo/input".into(),
            buffer_frames_size: 8,
            pending_frames_count: queued,
            min_pending_frames_count: 1,
            max_pending_frames_count: 4,
            ..ProtoMonStreamFramesInfo::default()
        };
        let message = ProtoMon {
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: "yolo".into(),
                streams_frames_infos: vec![stream],
            }],
            ..message(writer.pid(), 10.0)
        };
        put(
            &host.dir().join(writer.name()),
            &message.encode_to_vec(),
            Duration::ZERO,
        );
    }
    let output = host.output(&["--stdout", "--once", "--format", "table"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text
        .lines()
        .find(|line| line.contains("yolo/input"))
        .unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u32> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers, [5, 2, 8, 16], "{text}");
}
