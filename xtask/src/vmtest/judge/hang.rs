//! A call that takes long.

use anyhow::{Context as _, Result, ensure};

use super::attributed::DURATION;
use super::known::{CONTAINER, POD};
use crate::vmtest::outcome::Left;
use crate::vmtest::point::{Point, last};

const IN_FLIGHT: &str = "accel.ioctl.inflight";
const OWNER: &str = "hailo.device.owner";
const AGE: &str = "accel.ioctl.inflight.age.max";
/// Duration of the call in seconds.
const LENGTH: f64 = 20.0;
/// Bucket of the call's duration: above the last bound of 4.2 s (4^11 µs).
const LAST_BUCKET: usize = 12;

pub(super) fn judge(left: &Left) -> Result<String> {
    left.undisturbed()?;
    let its = |name: &'static str| {
        left.points
            .iter()
            .filter(move |point| point.name == name && point.tells(CONTAINER))
    };
    let most = its(IN_FLIGHT).filter_map(|point| point.value).fold(0.0, f64::max);
    // The concurrent wait for a notification does not count as a hanging call.
    ensure!(
        (most - 1.0).abs() < f64::EPSILON,
        "at most {most} calls in flight, and it was one"
    );
    for (key, value) in POD {
        let point = its(IN_FLIGHT).next().context("no call in flight")?;
        ensure!(point.attribute(key) == *value, "{key} is not {value}: {point:?}");
    }
    let ages: Vec<(jiff::Timestamp, f64)> = left
        .points
        .iter()
        .filter(|point| point.name == AGE)
        .filter_map(|point| Some((point.time, point.value.filter(|age| *age > 0.0)?)))
        .collect();
    ensure!(ages.len() >= 3, "the age was shown {} times only", ages.len());
    for pair in ages.windows(2) {
        ensure!(pair[1].1 > pair[0].1, "the age does not grow: {ages:?}");
        let passed = (pair[1].0 - pair[0].0).total(jiff::Unit::Second)?;
        let grown = pair[1].1 - pair[0].1;
        ensure!((grown - passed).abs() < 1.0, "the age grows by {grown} in {passed} s");
    }
    let oldest = ages.last().map_or(0.0, |(_, age)| *age);
    ensure!(
        oldest > LENGTH / 2.0,
        "the oldest call was {oldest} s old, and took {LENGTH} s"
    );
    let remaining = last(&left.points, IN_FLIGHT)
        .into_iter()
        .filter(|point| point.tells(CONTAINER))
        .filter_map(|point| point.value)
        .sum::<f64>();
    ensure!(remaining == 0.0, "still {remaining} in flight when all had ended");
    let owned = its(OWNER).filter_map(|point| point.value).count();
    ensure!(owned > 0, "{OWNER} does not name the application");
    slow(&last(&left.points, DURATION))?;
    Ok(format!(
        "seen {} times up to an age of {oldest:.1} s, then one slow call",
        ages.len()
    ))
}

fn slow(durations: &[&Point]) -> Result<()> {
    let slow: u64 = durations
        .iter()
        .filter(|point| point.tells(CONTAINER))
        .filter_map(|point| point.buckets.get(LAST_BUCKET))
        .sum();
    ensure!(slow == 1, "{slow} slow calls, and it was one");
    Ok(())
}
