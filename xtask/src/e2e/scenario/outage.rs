//! A receiver that is down for half a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::signals::terminate;
use super::{Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector};
use crate::e2e::reading::Point;
use crate::e2e::wait;

const OUTAGE: Duration = Duration::from_secs(30);
/// A series of every collection, with the collection's time.
const HEARTBEAT: &str = "agent.memory.usage";

/// Points at the receiver that was down, and at one that was up all the time (the witness).
struct Seen {
    received: Vec<Point>,
    witnessed: Vec<Point>,
}

pub(super) fn lossless(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "16MiB")?;
    let missing = missing(&seen);
    ensure!(
        missing.is_empty(),
        "{} points are missing, among them {:?}",
        missing.len(),
        missing.first()
    );
    ensure!(
        dropped(&seen.witnessed) == 0,
        "the agent says it dropped {}",
        dropped(&seen.witnessed)
    );
    contiguous(&seen.received)?;
    queued(&seen)?;
    Ok(Verdict::Passed)
}

pub(super) fn bounded(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "96KiB")?;
    let missing = missing(&seen);
    let dropped = dropped(&seen.witnessed);
    ensure!(dropped > 0, "the queue held everything: the test shows nothing");
    ensure!(
        missing.len() as u64 == dropped,
        "{} points are missing, the agent counted {dropped}",
        missing.len()
    );
    // The oldest records are dropped first, so there is one gap.
    let times = heartbeats(&seen.received);
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
            Ok(heartbeats(&collector.points(bench)?).len() >= count)
        })
    };
    arrives(&collector, 5, 20)?;
    collector.stop()?;
    std::thread::sleep(OUTAGE);
    collector.resume(bench)?;
    // The agent may be in its longest retry delay.
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    wait::until_true("new collections to arrive", Duration::from_mins(2), || {
        let times = heartbeats(&collector.points(bench)?);
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

/// Times of all collections, ascending.
fn heartbeats(points: &[Point]) -> Vec<u64> {
    let mut times: Vec<_> = points
        .iter()
        .filter(|point| point.name == HEARTBEAT && !point.is_end())
        .map(Point::time)
        .collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Points that only the witness has. Repeated points are matched one to one.
fn missing(seen: &Seen) -> Vec<(String, u64)> {
    let mut here = BTreeMap::<_, usize>::new();
    for point in &seen.received {
        *here.entry((point.series(), point.time())).or_default() += 1;
    }
    let mut missing = Vec::new();
    for point in &seen.witnessed {
        let key = (point.series(), point.time());
        match here.get_mut(&key) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(key),
        }
    }
    missing
}

/// Last value of a counter of the destination that was down, summed over all reasons.
fn total(points: &[Point], name: &str, outcome: Option<&str>) -> f64 {
    let mut last = BTreeMap::new();
    for point in points.iter().filter(|point| point.name == name && !point.is_end()) {
        let of_outcome = outcome.is_none_or(|o| point.attribute("agent.outcome").as_deref() == Some(o));
        if of_outcome && point.attribute("destination").as_deref() == Some("default") {
            last.insert(point.series(), point.value.unwrap_or(0.0));
        }
    }
    last.values().sum()
}

fn dropped(points: &[Point]) -> u64 {
    total(points, "agent.export.dropped", None) as u64
}

/// No continuously read series has a gap.
fn contiguous(points: &[Point]) -> Result<()> {
    let mut series = BTreeMap::<_, Vec<u64>>::new();
    for point in points {
        if point.name == HEARTBEAT
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
    let count = total(&seen.received, "agent.export.points", Some("queued"));
    let arrived = seen.received.iter().filter(|point| !point.is_end()).count() as f64;
    let collections = heartbeats(&seen.received).len() as f64;
    let late = arrived - count;
    ensure!(
        (0.0..=3.0 * arrived / collections).contains(&late),
        "{arrived} points arrived, the agent queued {count}"
    );
    Ok(())
}
