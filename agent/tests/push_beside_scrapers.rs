//! Pushing beside a crowd that pulls: scrapers that do not read, and others that read all the time.
#![cfg(feature = "hailo")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;
mod receiver_support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use accelscope_proto::hailo::{ProtoMonNetworkFrames, ProtoMonStreamFramesInfo};
use free_port::free_address;
use hailo_host::{Host, Writer, message, put};
use program_support::{PATIENCE, Running, get, wait_for};
use prost::Message;
use receiver_support::Receiver;

/// Each has four series.
const STREAMS: i32 = 3500;
const STALLED: usize = 40;
const READERS: usize = 30;
/// Least time between two answers that are rendered for scrapes of one format.
const REUSE: Duration = Duration::from_millis(250);

/// The monitor file of a process with 14,000 series.
fn many(pid: u32) -> Vec<u8> {
    let mut message = message(pid, 57.0);
    let stream = |number: i32| ProtoMonStreamFramesInfo {
        stream_name: format!("yolo/stream{number}"),
        stream_direction: 0,
        buffer_frames_size: 16,
        pending_frames_count: number % 8,
        min_pending_frames_count: 0,
        max_pending_frames_count: 8,
        avg_pending_frames_count: 4.0,
    };
    message.net_frames_infos = vec![ProtoMonNetworkFrames {
        network_name: "yolo".into(),
        streams_frames_infos: (0..STREAMS).map(stream).collect(),
    }];
    message.encode_to_vec()
}

/// A scraper that never reads, once its answer has begun.
fn stalled(address: SocketAddr, encoding: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {encoding}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // One of more than the listener's connections is closed for another.
    stream.peek(&mut [0]).ok();
    stream
}

/// Names and niceness of the threads of a process.
fn niceness(pid: u32) -> Vec<(String, i32)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?.trim().to_owned();
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let nice = stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()?;
        Some((name, nice))
    };
    threads.filter_map(|thread| of(thread.unwrap().path())).collect()
}

/// As [`wait_for`], for what a busy machine needs minutes for.
#[track_caller]
fn wait_long(what: &str, mut there: impl FnMut() -> Option<()>) {
    let until = Instant::now() + 5 * PATIENCE;
    while there().is_none() {
        assert!(Instant::now() < until, "waited {:?} for {what}", 5 * PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends the readers, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn collections_are_pushed_while_scrapers_are_stalled_and_others_read() {
    let (host, receiver, address) = (Host::new().with_device(), Receiver::start(), free_address());
    let writer = Writer::new(None);
    put(&host.dir().join(writer.name()), &many(writer.pid()), Duration::ZERO);
    let mut command = host.command(&[], &[]);
    for setting in receiver.settings().iter().map(String::as_str).chain([
        &*format!("http.listen={address}"),
        "hailo.max_age=1h",
        "limits.memory=256MiB",
        "limits.series_per_instrument=5000",
    ]) {
        command.args(["--set", setting]);
    }
    let begun = Instant::now();
    let agent = Running::start({
        command.stderr(Stdio::null());
        command
    });
    wait_long("all series to be served", || {
        let page = get(address, "/metrics")?.body;
        (page.matches("\nhailo_stream_queue_").count() >= 4 * STREAMS as usize).then_some(())
    });
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let asked = SystemTime::now();
        let stalled: Vec<_> = (0..STALLED)
            .map(|nth| stalled(address, if nth % 2 == 0 { "gzip" } else { "identity" }))
            .collect();
        for _ in 0..READERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let whole = get(address, "/metrics").is_some_and(|answer| answer.status == 200);
                    answers.fetch_add(usize::from(whole), Ordering::Relaxed);
                }
            });
        }
        let ending = Stop(&stop);
        // Nobody of these reads on, and the others do not pause: what arrives was pushed beside them.
        let asked = asked.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        wait_long("three collections", || {
            let times = receiver.times("agent.sampler.runs");
            (times.into_iter().filter(|time| *time > asked).count() >= 3).then_some(())
        });
        wait_long("answers", || (answers.load(Ordering::Relaxed) >= READERS).then_some(()));
        drop((ending, stalled));
    });
    // The bounds that make it so, whatever the load of this machine.
    let threads = niceness(agent.0.id());
    let of = |name: &str| threads.iter().find(|(thread, _)| thread == name).unwrap().1;
    assert_eq!(of("http"), of("pipeline") + 5, "{threads:?}");
    let page = wait_for("the agent's own metrics", || get(address, "/metrics")).body;
    let rendered = page
        .lines()
        .find_map(|line| line.strip_prefix("agent_http_rendered_total "))
        .unwrap();
    let rendered: f64 = rendered.parse().unwrap();
    let most = 2.0 * (begun.elapsed().as_secs_f64() / REUSE.as_secs_f64() + 1.0);
    assert!(
        rendered <= most,
        "{rendered} answers were rendered in {:?}",
        begun.elapsed()
    );
}
