//! Signals that end the agent, and conditions that must not delay the end.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::{Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector, Writer, once};
use crate::e2e::reading::{Point, json_lines};
use crate::e2e::wait;

/// 3 s, plus the time a busy machine needs to notice.
const PROMISED: Duration = Duration::from_millis(3500);

/// Fails unless SIGTERM ends it in time and with exit code 0.
pub(super) fn terminate(agent: &mut Agent) -> Result<()> {
    agent.process.signal(Signal::TERM)?;
    let status = agent.process.ended(PROMISED)?;
    ensure!(status.success(), "the agent ended with {status}");
    Ok(())
}

fn ready(bench: &Bench<'_>, writer: &Writer, endpoint: String, protocol: &str) -> Result<Agent> {
    let settings = [
        ("otlp.enabled", "true".to_owned()),
        ("otlp.endpoint", endpoint),
        ("otlp.protocol", protocol.to_owned()),
        // Only the shutdown sends the current readings.
        ("otlp.interval", "10m".to_owned()),
    ];
    let agent = Agent::start(bench, "agent", &settings)?;
    wait::until("the known values on /metrics", Duration::from_secs(10), || {
        known::check(known::of_samples(&agent.samples(bench)?), writer, true).map(Some)
    })?;
    Ok(agent)
}

pub(super) fn sigterm(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let mut collector = Collector::start(bench, "collector", None)?;
    let mut agent = ready(bench, &writer, collector.grpc_url(), "grpc")?;
    // One second of readings more than the first collection can contain.
    let now = jiff::Timestamp::now().as_nanosecond();
    wait::until_true("another reading", Duration::from_secs(5), || {
        Ok(jiff::Timestamp::now().as_nanosecond() > now + 2_500_000_000)
    })?;
    terminate(&mut agent)?;
    collector.stop()?;
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
    Ok(Verdict::Passed)
}

pub(super) fn sigterm_hanging(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    // The kernel accepts the connection, which is never read.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", silent.local_addr()?);
    for protocol in ["grpc", "http/protobuf"] {
        let mut agent = ready(bench, &writer, url.clone(), protocol)?;
        terminate(&mut agent).with_context(|| format!("with otlp.protocol={protocol}"))?;
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
