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
/// Longest wait for collections, which come once a second, or after the agent's longest retry delay.
const LIMIT: Duration = Duration::from_mins(5);
/// Collections, one a second, that the witness has of it.
const COLLECTIONS: usize = 25;

/// Points at the receiver that was down, and at one that was up all the time (the witness).
struct Seen {
    received: Vec<Point>,
    witnessed: Vec<Point>,
    /// Nanoseconds since 1970 at its begin and end.
    outage: (u64, u64),
    /// Points that the agent says it could not deliver to it at its end.
    late: u64,
}

pub(super) fn lossless(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "16MiB")?;
    let missing = loss::missing(&seen.received, &seen.witnessed);
    ensure!(
        missing.len() as u64 <= seen.late,
        "{} points are missing, among them {:?}, and the agent named {} at its end",
        missing.len(),
        missing.first(),
        seen.late
    );
    ensure!(
        loss::dropped(&seen.witnessed, "default") == 0,
        "the agent says it dropped {}",
        loss::dropped(&seen.witnessed, "default")
    );
    continuous(&seen)?;
    queued(&seen)?;
    Ok(Verdict::Passed)
}

pub(super) fn bounded(bench: &Bench<'_>) -> Result<Verdict> {
    let seen = run(bench, "96KiB")?;
    let missing = loss::missing(&seen.received, &seen.witnessed);
    let dropped = loss::dropped(&seen.witnessed, "default");
    ensure!(dropped > 0, "the queue held everything: the test shows nothing");
    ensure!(
        (dropped..=dropped + seen.late).contains(&(missing.len() as u64)),
        "{} points are missing, the agent counted {dropped} and named {} at its end",
        missing.len(),
        seen.late
    );
    // The oldest records are dropped first, so there is one gap.
    let times = loss::heartbeats(&seen.received);
    let last = times.last().context("nothing arrived")?;
    let all = loss::heartbeats(&seen.witnessed);
    let arrived: Vec<_> = all
        .iter()
        .filter(|time| *time <= last)
        .map(|time| times.binary_search(time).is_ok())
        .collect();
    let gaps = arrived.windows(2).filter(|pair| pair[0] && !pair[1]).count();
    ensure!(gaps == 1, "{gaps} gaps in the received series, not 1");
    Ok(Verdict::Passed)
}

fn run(bench: &Bench<'_>, queue: &str) -> Result<Seen> {
    let _writer = known::writer(bench, "rename", Duration::from_millis(250))?;
    let witness = Collector::start(bench, "witness", None)?;
    let mut collector = Collector::start(bench, "collector", None)?;
    let config = format!(
        "[hailo]\nmin_interval = \"250ms\"\n\n[otlp]\nendpoint = {:?}\ninterval = \"1s\"\ntimeout = \"1m\"\nqueue_bytes = {queue:?}\n\n\
         [otlp.destinations.witness]\nendpoint = {:?}\nqueue_bytes = \"16MiB\"\ntimeout = \"1m\"\n",
        collector.grpc_url(),
        witness.grpc_url(),
    );
    let mut agent = Agent::start_pushing(bench, &config, free_port::free_port())?;
    let arrives = |collector: &Collector, after: u64, count: usize| {
        wait::until_true("collections to arrive", LIMIT, || {
            let times = loss::heartbeats(&collector.points(bench)?);
            Ok(times.iter().filter(|time| **time > after).count() >= count)
        })
    };
    arrives(&collector, 0, 5)?;
    collector.stop()?;
    let begin = now()?;
    std::thread::sleep(OUTAGE);
    arrives(&witness, begin, COLLECTIONS)?;
    collector.resume(bench)?;
    // The agent may be in its longest retry delay.
    let end = now()?;
    arrives(&collector, end, 3)?;
    let late = terminate(&mut agent)?.get("default").copied().unwrap_or(0);
    collector.stop()?;
    let mut witness = witness;
    witness.stop()?;
    Ok(Seen {
        received: collector.points(bench)?,
        witnessed: witness.points(bench)?,
        outage: (begin, end),
        late,
    })
}

fn now() -> Result<u64> {
    Ok(u64::try_from(jiff::Timestamp::now().as_nanosecond())?)
}

/// Each continuously read series was read throughout the outage, as far as the machine let its writer write and the agent
/// read: in half of the collections at least.
fn continuous(seen: &Seen) -> Result<()> {
    let mut series = BTreeMap::<_, Vec<u64>>::new();
    for point in &seen.received {
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
    let during = |times: &[u64]| {
        let (begin, end) = seen.outage;
        times.iter().filter(|time| (begin..end).contains(*time)).count()
    };
    let collections = during(&loss::heartbeats(&seen.received));
    ensure!(
        collections >= COLLECTIONS,
        "{collections} collections of the outage arrived, not {COLLECTIONS}"
    );
    for (name, times) in series {
        let points = during(&times);
        ensure!(
            points * 2 >= collections,
            "{name} has {points} points of the outage's {collections} collections"
        );
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
