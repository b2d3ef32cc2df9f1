//! Signals that end the agent, and conditions that must not delay the end.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::{Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector, Writer, once};
use crate::e2e::reading::{Point, json_lines};
use crate::e2e::wait;

/// 3 s, plus the time a busy machine needs to notice.
const PROMISED: Duration = Duration::from_millis(3500);
/// A machine that stands still for seconds makes a single end late.
const ENDS: usize = 5;

/// Points by destination that the agent could not deliver in the time that it has for it at its end.
pub(super) type Undelivered = BTreeMap<String, u64>;

/// Fails unless SIGTERM ends it with exit code 0. Returns what it says it could not deliver, which on a busy machine it may
/// be.
pub(super) fn terminate(agent: &mut Agent) -> Result<Undelivered> {
    agent.process.signal(Signal::TERM)?;
    let status = agent.process.ended(wait::SOON)?;
    ensure!(status.success(), "the agent ended with {status}");
    undelivered(&std::fs::read_to_string(&agent.process.err)?)
}

fn undelivered(log: &str) -> Result<Undelivered> {
    let lines = log.lines().filter(|line| line.contains("stopped with points"));
    lines
        .map(|line| {
            let field = |name: &str| {
                let value = line.split(&format!(" {name}=")).nth(1)?.split(' ').next()?;
                Some(value.trim_matches('"').to_owned())
            };
            let destination = field("destination").with_context(|| format!("no destination: {line}"))?;
            let points = field("points").with_context(|| format!("no points: {line}"))?;
            Ok((destination, points.parse()?))
        })
        .collect()
}

/// Ends agents until one is in time; `end` returns whether that one delivered all. Each must end with exit code 0.
fn promised(mut end: impl FnMut() -> Result<(Duration, bool)>) -> Result<()> {
    let mut met = Vec::new();
    for _ in 0..ENDS {
        let (took, delivered) = end()?;
        if took <= PROMISED && delivered {
            return Ok(());
        }
        met.push((took, delivered));
    }
    bail!("none of {ENDS} ended within {PROMISED:?} with all delivered: {met:?}")
}

fn ready(bench: &Bench<'_>, writer: &Writer, endpoint: String, protocol: &str) -> Result<Agent> {
    let settings = [
        ("otlp.enabled", "true".to_owned()),
        ("otlp.endpoint", endpoint),
        ("otlp.protocol", protocol.to_owned()),
        // Only the shutdown sends the current readings.
        ("otlp.interval", "10m".to_owned()),
        // Only what limits the end can end a request that is not answered.
        ("otlp.timeout", "10m".to_owned()),
    ];
    let agent = Agent::start(bench, "agent", &settings)?;
    wait::until("the known values on /metrics", wait::SOON, || {
        known::check(known::of_samples(&agent.samples(bench)?), writer, true).map(Some)
    })?;
    Ok(agent)
}

pub(super) fn sigterm(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    promised(|| flushed(bench, &writer))?;
    Ok(Verdict::Passed)
}

/// Duration of an agent's end, and whether it delivered everything; fails if it says so and did not.
fn flushed(bench: &Bench<'_>, writer: &Writer) -> Result<(Duration, bool)> {
    let mut collector = Collector::start(bench, "collector", None)?;
    let mut agent = ready(bench, writer, collector.grpc_url(), "grpc")?;
    // The second of two readings after now is later than what the first collection can contain.
    let now = jiff::Timestamp::now().as_nanosecond();
    let mut frames = counted(bench, &agent)?;
    for _ in 0..2 {
        frames = wait::until("another reading", wait::SOON, || {
            Ok(Some(counted(bench, &agent)?).filter(|later| *later > frames))
        })?;
    }
    let began = Instant::now();
    let undelivered = terminate(&mut agent)?;
    let took = began.elapsed();
    collector.stop()?;
    if !undelivered.is_empty() {
        return Ok((took, false));
    }
    let points = collector.points(bench)?;
    let rates = points
        .iter()
        .filter(|point| point.name == "hailo.network.frame_rate" && !point.is_end());
    let last = rates.map(Point::time).max().context("no reading arrived")?;
    ensure!(
        i128::from(last) > now,
        "the last readings are missing: the newest is {} ns too old",
        now - i128::from(last)
    );
    Ok((took, true))
}

/// Frames of all networks so far.
fn counted(bench: &Bench<'_>, agent: &Agent) -> Result<f64> {
    let samples = agent.samples(bench)?.into_iter();
    let frames = samples.filter(|sample| sample.name == "hailo_network_frames_total");
    Ok(frames.map(|sample| sample.value).sum())
}

pub(super) fn sigterm_hanging(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    // The kernel accepts the connection, which is never read.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", silent.local_addr()?);
    for protocol in ["grpc", "http/protobuf"] {
        let end = || {
            let mut agent = ready(bench, &writer, url.clone(), protocol)?;
            let began = Instant::now();
            let undelivered = terminate(&mut agent)?;
            let took = began.elapsed();
            ensure!(
                !undelivered.is_empty(),
                "the agent does not say what it could not deliver"
            );
            Ok((took, true))
        };
        promised(end).with_context(|| format!("with otlp.protocol={protocol}"))?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn service_links(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let links = [
        ("ACCELSCOPE_SERVICE_HOST", "10.96.12.7"),
        ("ACCELSCOPE_SERVICE_PORT", "9464"),
        ("ACCELSCOPE_SERVICE_PORT_METRICS", "9464"),
        ("ACCELSCOPE_PORT", "tcp://10.96.12.7:9464"),
        ("ACCELSCOPE_PORT_9464_TCP", "tcp://10.96.12.7:9464"),
        ("ACCELSCOPE_PORT_9464_TCP_PROTO", "tcp"),
        ("ACCELSCOPE_PORT_9464_TCP_PORT", "9464"),
        ("ACCELSCOPE_PORT_9464_TCP_ADDR", "10.96.12.7"),
    ];
    for environment in [&[][..], &links] {
        let points: Vec<Point> = json_lines(&once(bench, "json", &[], environment)?)?;
        known::check(known::of_points(&points), &writer, false)?;
    }
    Ok(Verdict::Passed)
}
