//! A clock that is set back.

use anyhow::{Context as _, Result, ensure};

use super::{attributed, known};
use crate::vmtest::outcome::Left;

pub(super) fn judge(left: &Left) -> Result<String> {
    let truth = left.truth("before", "after")?;
    known::holds(&truth)?;
    left.undisturbed()?;
    let first = left.points.first().context("the agent printed nothing")?;
    let earlier = left.points.iter().filter(|point| point.time < first.time).count();
    ensure!(earlier > 0, "the clock was not set back");
    for point in &left.points {
        let starts = point.start_time.unwrap_or(point.time);
        ensure!(starts <= point.time, "a count starts after it is read: {point:?}");
    }
    let made = attributed::calls(&left.points, &truth)?;
    Ok(format!("{earlier} points with an earlier time; {made}"))
}
