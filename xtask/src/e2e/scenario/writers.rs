//! Writers that stop, die or lose their directory.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, JsonLines, Writer, once};
use crate::e2e::reading::{Point, json_lines};
use crate::e2e::wait::{self, SOON};

/// Longer than a busy machine keeps a running writer from writing.
const MAX_AGE: Duration = Duration::from_secs(15);
const WRITES: Duration = Duration::from_millis(250);

fn often() -> (&'static str, String) {
    ("hailo.min_interval", "250ms".to_owned())
}

/// Whether a reading belongs to a live writer; the device itself may stay published without one.
fn is_live(name: &str, value: Option<f64>) -> bool {
    let name = name.replace('.', "_");
    let device_only = name == "hailo_device_info" || (name == "hailo_monitor_active" && value == Some(0.0));
    (name.starts_with("hailo") || name.starts_with("hw_npu")) && !device_only
}

fn live(bench: &Bench<'_>, agent: &Agent) -> Result<Vec<String>> {
    let samples = agent.samples(bench)?.into_iter();
    Ok(samples
        .filter(|sample| is_live(&sample.name, Some(sample.value)))
        .map(|sample| sample.name)
        .collect())
}

fn nothing_live(bench: &Bench<'_>, agent: &Agent) -> Result<()> {
    wait::until("the series to end on /metrics", SOON, || {
        let names = live(bench, agent)?;
        ensure!(names.is_empty(), "still there: {names:?}");
        Ok(Some(()))
    })
}

fn all_live(bench: &Bench<'_>, agent: &Agent, writer: &Writer) -> Result<()> {
    wait::until("the known values on /metrics", SOON, || {
        known::check(known::of_samples(&agent.samples(bench)?), writer, true).map(Some)
    })
}

/// Number of ends of each series of a writer.
fn ends(points: &[Point]) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for point in points
        .iter()
        .filter(|point| is_live(&point.name, point.value) && point.name != "hailo.monitor.active")
    {
        *ends.entry(point.series()).or_default() += usize::from(point.is_end());
    }
    ends
}

fn each_ends_once(lines: &mut JsonLines) -> Result<()> {
    wait::until("one end of each series in the JSON lines", SOON, || {
        let ends = ends(&lines.points()?);
        let wrong: Vec<_> = ends.iter().filter(|(_, count)| **count != 1).collect();
        ensure!(!ends.is_empty() && wrong.is_empty(), "{wrong:?}");
        Ok(Some(()))
    })
}

pub(super) fn stopped(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "in-place", WRITES)?;
    let settings = [("hailo.max_age", format!("{}s", MAX_AGE.as_secs())), often()];
    let agent = Agent::start(bench, "agent", &settings)?;
    let mut lines = JsonLines::start(bench, "lines", &settings)?;
    all_live(bench, &agent, &writer)?;
    wait::until_true("JSON lines", SOON, || Ok(!ends(&lines.points()?).is_empty()))?;

    writer.signal(Signal::STOP)?;
    let kept = Duration::from_secs(2);
    wait::throughout("the last value stays until its age limit", kept, || {
        // The agent answered before the age is asked for, and may not have read the last write.
        Ok(!live(bench, &agent)?.is_empty() || age(bench)? + kept > MAX_AGE)
    })?;
    nothing_live(bench, &agent)?;
    each_ends_once(&mut lines)?;

    writer.signal(Signal::CONT)?;
    all_live(bench, &agent, &writer)?;
    let back = jiff::Timestamp::now().as_nanosecond();
    wait::until_true("new JSON lines", SOON, || Ok(shows_after(&lines.points()?, back)))?;
    each_ends_once(&mut lines)?;
    Ok(Verdict::Passed)
}

/// Age of the newest file.
fn age(bench: &Bench<'_>) -> Result<Duration> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for file in std::fs::read_dir(bench.path("hmon_files"))? {
        newest = newest.max(file?.metadata()?.modified()?);
    }
    Ok(newest.elapsed().unwrap_or_default())
}

fn shows_after(points: &[Point], time: i128) -> bool {
    points
        .iter()
        .any(|p| p.name == "hailo.network.frame_rate" && !p.is_end() && i128::from(p.time()) > time)
}

pub(super) fn killed(bench: &Bench<'_>) -> Result<Verdict> {
    let mut writer = known::writer(bench, "rename", WRITES)?;
    // The readings end because of the process, not because of their age.
    let agent = Agent::start(bench, "agent", &[])?;
    let mut lines = JsonLines::start(bench, "lines", &[])?;
    all_live(bench, &agent, &writer)?;
    wait::until_true("JSON lines", SOON, || Ok(!ends(&lines.points()?).is_empty()))?;

    writer.kill()?;
    nothing_live(bench, &agent)?;
    each_ends_once(&mut lines)?;

    // The file that it left gets a new time, and a new agent finds it.
    let left: Vec<_> = std::fs::read_dir(bench.path("hmon_files"))?.collect::<Result<_, _>>()?;
    ensure!(!left.is_empty(), "the killed writer left no file");
    let later = Agent::start(bench, "later", &[])?;
    for file in &left {
        std::fs::write(file.path(), std::fs::read(file.path())?)?;
    }
    wait::throughout(
        "a dead process' file does not show as live",
        Duration::from_secs(4),
        || Ok(live(bench, &agent)?.is_empty() && live(bench, &later)?.is_empty()),
    )?;
    let points: Vec<Point> = json_lines(&once(bench, "json", &[], &[])?)?;
    let shown: Vec<_> = points
        .iter()
        .filter(|p| is_live(&p.name, p.value) && !p.is_end())
        .map(Point::series)
        .collect();
    ensure!(shown.is_empty(), "agent --once shows {shown:?}");
    Ok(Verdict::Passed)
}

pub(super) fn directory(bench: &Bench<'_>) -> Result<Verdict> {
    // The directory does not exist at first.
    let agent = Agent::start(bench, "agent", &[often()])?;
    let mut lines = JsonLines::start(bench, "lines", &[often()])?;
    let writer = known::writer(bench, "rename", WRITES)?;
    all_live(bench, &agent, &writer)?;
    for _ in 0..2 {
        writer.signal(Signal::STOP)?;
        std::fs::remove_dir_all(bench.path("hmon_files"))?;
        nothing_live(bench, &agent)?;
        // The runtime recreates the directory with its next write.
        writer.signal(Signal::CONT)?;
        all_live(bench, &agent, &writer)?;
    }
    // Once more, too fast for the absence to be noticed.
    writer.signal(Signal::STOP)?;
    std::fs::remove_dir_all(bench.path("hmon_files"))?;
    writer.signal(Signal::CONT)?;
    let back = jiff::Timestamp::now().as_nanosecond() + 5_000_000_000;
    wait::until_true("readings from the new directory", SOON, || {
        Ok(shows_after(&lines.points()?, back))
    })?;
    all_live(bench, &agent, &writer)?;
    Ok(Verdict::Passed)
}
