//! `promtool check metrics` complains only about names that the semantic conventions require.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Verdict, known};
use crate::e2e::bench::{Bench, feed};
use crate::e2e::peer::Agent;
use crate::e2e::wait;
use crate::tools::data;

pub(super) fn run(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let agent = Agent::start(bench, "agent", &[])?;
    let text = wait::until("the known values on /metrics", wait::SOON, || {
        let text = agent.exposition()?;
        known::check(known::of_samples(&bench.samples("text", &text)?), &writer, true)?;
        Ok(Some(text))
    })?;
    let (code, out, err) = feed(Command::new(&bench.tools.promtool).args(["check", "metrics"]), &text)?;
    // Exit code 0: clean, 3: remarks, one per line, each starting with the metric's name.
    ensure!(matches!(code, Some(0 | 3)), "promtool ended with {code:?}: {err}");
    let listed = std::fs::read_to_string(data("promtool-accepted.txt"))?;
    let accepted: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split(" #").next())
        .map(str::trim)
        .collect();
    let remarks: Vec<_> = out
        .lines()
        .chain(err.lines())
        .filter(|line| {
            !line
                .split_whitespace()
                .next()
                .is_none_or(|name| accepted.contains(&name))
        })
        .collect();
    ensure!(remarks.is_empty(), "promtool: {remarks:#?}");
    Ok(Verdict::Passed)
}
