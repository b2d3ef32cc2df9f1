//! A receiver that is down for half a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::signals::terminate;
use super::{Verdict, known, loss};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector};
use crate::e2e::reading::Point;
use crate::e2e::wait;

const OUTAGE: Duration = Duration::from_secs(30);

/// Points at the receiver that was down, and at one that was up all the time (the witness).
struct Seen {
    received: Vec<Point>,
    witnessed: Vec<Point>,
}

pub(super) fn lossless(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "16MiB")?;
    let missing = loss::missing(&seen.received, &seen.witnessed);
    ensure!(
        missing.is_empty(),
        "{} points are missing, among them {:?}",
        missing.len(),
        missing.first()
    );
    ensure!(
        loss::dropped(&seen.witnessed, "default") == 0,
        "the agent says it dropped {}",
        loss::dropped(&seen.witnessed, "default")
    );
    contiguous(&seen.received)?;
    queued(&seen)?;
    Ok(Verdict::Passed)
}

pub(super) fn bounded(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "96KiB")?;
    let missing = loss::missing(&seen.received, &seen.witnessed);
    let dropped = loss::dropped(&seen.witnessed, "default");
    ensure!(dropped > 0, "the queue held everything: the test shows nothing");
    ensure!(
        missing.len() as u64 == dropped,
        "{} points are missing, the agent counted {dropped}",
        missing.len()
    );
    // The oldest records are dropped first, so there is one gap.
    let times = loss::heartbeats(&seen.received);
    let gaps = times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 2_000_000_000)
        .count();
    ensure!(gaps == 1, "{gaps} gaps in the received series, not 1");
    Ok(Verdict::Passed)
}

fn run(bench: &Bench<'_>, queue: &str) -> Result<Seen> {
    let _writer = known::writer(bench, "rename", Duration::from_millis(250))?;
    let witness = Collector::start(bench, "witness", None)?;
    let mut collector = Collector::start(bench, "collector", None)?;
    let config = format!(
        "[hailo]\nmin_interval = \"250ms\"\n\n[otlp]\nendpoint = {:?}\ninterval = \"1s\"\nqueue_bytes = {queue:?}\n\n\
         [otlp.destinations.witness]\nendpoint = {:?}\nqueue_bytes = \"16MiB\"\n",
        collector.grpc_url(),
        witness.grpc_url(),
    );
    let mut agent = Agent::start_pushing(bench, &config, free_port::free_port())?;
    let arrives = |collector: &Collector, count: usize, limit: u64| {
        wait::until_true("collections to arrive", Duration::from_secs(limit), || {
            Ok(loss::heartbeats(&collector.points(bench)?).len() >= count)
        })
    };
    arrives(&collector, 5, 20)?;
    collector.stop()?;
    std::thread::sleep(OUTAGE);
    collector.resume(bench)?;
    // The agent may be in its longest retry delay.
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    wait::until_true("new collections to arrive", Duration::from_mins(2), || {
        let times = loss::heartbeats(&collector.points(bench)?);
        Ok(times.last().is_some_and(|last| *last > now + 3_000_000_000))
    })?;
    terminate(&mut agent)?;
    collector.stop()?;
    let mut witness = witness;
    witness.stop()?;
    Ok(Seen {
        received: collector.points(bench)?,
        witnessed: witness.points(bench)?,
    })
}

/// No continuously read series has a gap.
fn contiguous(points: &[Point]) -> Result<()> {
    let mut series = BTreeMap::<_, Vec<u64>>::new();
    for point in points {
        if point.name == loss::HEARTBEAT
            || ["hailo.network", "hailo.stream", "hailo.process"]
                .iter()
                .any(|p| point.name.starts_with(p))
        {
            series.entry(point.series()).or_default().push(point.time());
        }
    }
    ensure!(
        series.len() > known::KNOWN.len() - 2,
        "only {} series arrived",
        series.len()
    );
    for (name, mut times) in series {
        times.sort_unstable();
        let longest = times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .context("a series with one point")?;
        ensure!(longest < 1_900_000_000, "{name} has a hole of {longest} ns");
    }
    Ok(())
}

/// The agent's count of queued points equals the received ones, except for collections after the count; the last one is of
/// the ends of all series.
fn queued(seen: &Seen) -> Result<()> {
    let count = loss::total(&seen.received, "agent.export.points", "default", Some("queued"));
    let arrived = seen.received.iter().filter(|point| !point.is_end()).count() as f64;
    let collections = loss::heartbeats(&seen.received).len() as f64;
    let late = arrived - count;
    ensure!(
        (0.0..=3.0 * arrived / collections).contains(&late),
        "{arrived} points arrived, the agent queued {count}"
    );
    Ok(())
}
