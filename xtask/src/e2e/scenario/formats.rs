//! Known values in every output format.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::known::{self, ADDRESS};
use super::{RESOURCE, Verdict};
use crate::e2e::bench::{Bench, get};
use crate::e2e::peer::{Agent, JsonLines, Writer, once};
use crate::e2e::reading::{Point, json_lines};
use crate::e2e::wait;

pub(super) fn run(bench: &Bench<'_>) -> Result<Verdict> {
    for mode in ["in-place", "rename"] {
        let begun = jiff::Timestamp::now();
        let writer = known::writer(bench, mode, Duration::from_secs(1))?;
        json(bench, &writer, begun)?;
        otlp_json(bench, &writer, begun)?;
        prometheus(bench, &writer)?;
        table(bench)?;
        pull(bench, &writer)?;
        integral(bench)?;
    }
    Ok(Verdict::Passed)
}

fn json(bench: &Bench<'_>, writer: &Writer, begun: jiff::Timestamp) -> Result<()> {
    let points: Vec<Point> = json_lines(&once(bench, "json", &[], &[])?)?;
    known::check_metadata(&points)?;
    known::check(known::of_points(&points), writer, false)?;
    recent(&points, begun)
}

fn otlp_json(bench: &Bench<'_>, writer: &Writer, begun: jiff::Timestamp) -> Result<()> {
    let file = bench.path("once.otlp.jsonl");
    std::fs::write(&file, once(bench, "otlp-json", &[], &[])?)?;
    let points = bench.otlp_points(&[file])?;
    known::check_metadata(&points)?;
    known::check(known::of_points(&points), writer, false)?;
    resource(&points)?;
    recent(&points, begun)
}

fn prometheus(bench: &Bench<'_>, writer: &Writer) -> Result<()> {
    let samples = bench.samples("text", &once(bench, "prometheus", &[], &[])?)?;
    known::check(known::of_samples(&samples), writer, true)
}

/// The table is for people: it must contain these texts.
fn table(bench: &Bench<'_>) -> Result<()> {
    let text = once(bench, "table", &[], &[])?;
    for word in [
        ADDRESS,
        "yolov8n",
        "resnet50",
        "30",
        "12.5",
        "yolov8n/input_layer1",
        "yolov8n/conv63",
    ] {
        ensure!(text.contains(word), "the table lacks {word}:\n{text}");
    }
    ensure!(
        !text.contains("e308") && !text.contains("1797693134"),
        "the table shows DBL_MAX:\n{text}"
    );
    Ok(())
}

fn pull(bench: &Bench<'_>, writer: &Writer) -> Result<()> {
    let mut agent = Agent::start(bench, "agent", &[])?;
    wait::until("the known values on /metrics", wait::SOON, || {
        known::check(known::of_samples(&agent.samples(bench)?), writer, true).map(Some)
    })?;
    let openmetrics = get(
        &format!("{}/metrics", agent.url),
        &[("accept", "application/openmetrics-text; version=1.0.0")],
    )?;
    let samples = bench.samples("openmetrics", &openmetrics)?;
    // `_created` is OpenMetrics' form of a start time.
    let samples: Vec<_> = samples.into_iter().filter(|s| !s.name.ends_with("_created")).collect();
    known::check(known::of_samples(&samples), writer, true)?;
    ensure!(
        samples.iter().all(|s| s.timestamp.is_none()),
        "/metrics shows timestamps"
    );

    agent.process.check()
}

/// The runtime reports 30 frames a second: the counter grows by 30 a second.
fn integral(bench: &Bench<'_>) -> Result<()> {
    let mut lines = JsonLines::start(bench, "lines", &[])?;
    let readings = wait::until("the frame counter to grow by 30 a second", wait::SOON, || {
        let mut points = lines.points()?;
        points.retain(|p| {
            p.name == "hailo.network.frames" && p.attribute("hailo.network.name").is_some_and(|n| n == "yolov8n")
        });
        grows(&points)?;
        Ok(Some(points))
    })?;
    ensure!(
        readings.iter().all(|r| r.start() == readings[0].start()),
        "the counter's start moves"
    );
    Ok(())
}

/// Fails unless the counter grew by 30 a second between the last reading and one at least 7 s before it.
///
/// A point has the time of its reading, which is late on a busy machine: the tolerance is half a second, and one reading in
/// time is enough. The first reading may be of a file written up to a second before; later ones follow their writes.
fn grows(readings: &[Point]) -> Result<()> {
    let last = readings.last().context("no reading")?;
    let growth = readings.iter().skip(1).map(|first| {
        let seconds = last.time().saturating_sub(first.time()) as f64 / 1e9;
        (seconds, last.value.unwrap_or(0.0) - first.value.unwrap_or(0.0))
    });
    let growth: Vec<_> = growth.filter(|(seconds, _)| *seconds >= 7.0).collect();
    let right = |(seconds, frames): &(f64, f64)| (frames - 30.0 * seconds).abs() <= 15.0;
    ensure!(
        growth.iter().any(right),
        "seconds and frames up to the last reading, at 30 a second: {growth:?}"
    );
    Ok(())
}

fn resource(points: &[Point]) -> Result<()> {
    for point in points {
        for key in RESOURCE {
            ensure!(
                point.resource.contains_key(key),
                "the resource of {} lacks {key}",
                point.name
            );
        }
        ensure!(
            point.resource["service.name"] == "accelscope",
            "service.name is {}",
            point.resource["service.name"]
        );
    }
    Ok(())
}

/// A point's time is that of the runtime's write, after the scenario began and not in the future.
fn recent(points: &[Point], begun: jiff::Timestamp) -> Result<()> {
    let time = begun.as_nanosecond()..=jiff::Timestamp::now().as_nanosecond();
    for point in points {
        ensure!(
            time.contains(&point.time().into()),
            "{} was read at {} and not at {time:?}",
            point.series(),
            point.time()
        );
        ensure!(
            point.start().is_none_or(|start| start <= point.time()),
            "{} starts after its time",
            point.series()
        );
    }
    Ok(())
}
