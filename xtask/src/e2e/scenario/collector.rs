//! A real Collector receives everything, and its Prometheus exporter has the same series as the agent's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{RESOURCE, Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector};
use crate::e2e::reading::{Point, Sample, comparable};
use crate::e2e::wait;

pub(super) fn grpc(bench: &Bench<'_>) -> Result<Verdict> {
    let collector = Collector::start(bench, "collector", None)?;
    let url = collector.grpc_url();
    run(bench, &collector, &[("otlp.endpoint", url)])
}

pub(super) fn http(bench: &Bench<'_>) -> Result<Verdict> {
    let collector = Collector::start(bench, "collector", None)?;
    let url = collector.http_url();
    run(
        bench,
        &collector,
        &[("otlp.endpoint", url), ("otlp.protocol", "http/protobuf".to_owned())],
    )
}

fn run(bench: &Bench<'_>, collector: &Collector, settings: &[(&str, String)]) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let mut all = vec![("otlp.enabled", "true".to_owned()), ("otlp.interval", "1s".to_owned())];
    all.extend(settings.iter().cloned());
    let mut agent = Agent::start(bench, "agent", &all)?;
    wait::until("the known points at the Collector", wait::SOON, || {
        agent.process.check()?;
        let points = newest(collector.points(bench)?);
        known::check_metadata(&points)?;
        known::check(known::of_points(&points), &writer, false).map(Some)
    })?;
    resource(&collector.points(bench)?)?;
    wait::until("the same series from both", wait::SOON, || {
        same(&agent.samples(bench)?, &collector.samples(bench)?).map(Some)
    })?;
    times(&collector.points(bench)?)?;
    Ok(Verdict::Passed)
}

/// The last point of each series.
fn newest(points: Vec<Point>) -> Vec<Point> {
    let mut last = BTreeMap::new();
    for point in points {
        last.insert(point.series(), point);
    }
    last.into_values().collect()
}

fn resource(points: &[Point]) -> Result<()> {
    let first = points.first().context("no points")?;
    ensure!(
        points.iter().all(|point| point.resource == first.resource),
        "the resource changes"
    );
    for key in RESOURCE {
        ensure!(
            first.resource.contains_key(key),
            "the resource lacks {key}: {:?}",
            first.resource
        );
    }
    Ok(())
}

/// Within each series, time never decreases and the start never changes.
fn times(points: &[Point]) -> Result<()> {
    let mut last: BTreeMap<String, &Point> = BTreeMap::new();
    for point in points {
        if let Some(before) = last.insert(point.series(), point) {
            ensure!(point.time() >= before.time(), "{} goes back in time", point.series());
            ensure!(
                point.start() == before.start(),
                "{} has a new start without an end",
                point.series()
            );
            ensure!(
                point.kind != "counter" || point.value >= before.value,
                "{} falls",
                point.series()
            );
        }
    }
    Ok(())
}

/// Fails unless both expositions have the same series of the same types, compared with [`comparable`] labels.
fn same(ours: &[Sample], theirs: &[Sample]) -> Result<()> {
    let (ours, theirs) = (shape(ours), shape(theirs));
    let differences: Vec<_> = ours
        .symmetric_difference(&theirs)
        .map(|series| {
            format!(
                "{} {series:?}",
                if ours.contains(series) {
                    "only ours:"
                } else {
                    "only the Collector's:"
                }
            )
        })
        .collect();
    ensure!(
        differences.is_empty(),
        "{} differences, among them {:#?}",
        differences.len(),
        &differences[..differences.len().min(6)]
    );
    Ok(())
}

fn shape(samples: &[Sample]) -> BTreeSet<(String, String, String)> {
    let shape = |sample: &Sample| {
        (
            sample.name.clone(),
            comparable(&sample.name, &sample.labels),
            sample.kind.clone(),
        )
    };
    samples.iter().map(shape).collect()
}
