//! The same series of one agent by three ways into a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Verdict, known};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Agent, Collector, Prometheus};
use crate::e2e::reading::comparable;
use crate::e2e::wait;

/// Starts an agent that pushes to both each second.
pub(super) fn agent(bench: &Bench<'_>, collector: &Collector, prometheus: &Prometheus, port: u16) -> Result<Agent> {
    let config = format!(
        "[otlp]\nendpoint = {:?}\ninterval = \"1s\"\ntimeout = \"1m\"\n\n\
         [otlp.destinations.prometheus]\nendpoint = {:?}\nprotocol = \"http/protobuf\"\ntimeout = \"1m\"\n",
        collector.grpc_url(),
        prometheus.otlp_url(),
    );
    Agent::start_pushing(bench, &config, port)
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Verdict> {
    let _writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let port = free_port::free_port();
    let mut prometheus = Prometheus::start(bench, &format!("127.0.0.1:{port}"))?;
    let collector = Collector::start(bench, "collector", Some(prometheus.remote_write_url()))?;
    let mut agent = agent(bench, &collector, &prometheus, port)?;
    // `via` marks the remote write exporter's series; those over OTLP have neither it nor the scrape's job.
    let ways = [
        ("the scrape", r#"{job="scraped"}"#),
        ("remote write", r#"{via="remote_write"}"#),
        ("the OTLP receiver", r#"{job="accelscope",via=""}"#),
    ];
    wait::until("the same series three ways", wait::SOON, || {
        agent.process.check()?;
        let mut sets = Vec::new();
        for (way, selector) in ways {
            let set = series(prometheus.series(selector)?);
            ensure!(
                set.iter().any(|(name, _)| name == "hw_npu_utilization_ratio"),
                "nothing came by {way}"
            );
            sets.push((way, set));
        }
        let (first, rest) = sets.split_first().context("no ways")?;
        for (way, set) in rest {
            let only: Vec<_> = first
                .1
                .symmetric_difference(set)
                .map(|(name, labels)| format!("{name}{labels}"))
                .collect();
            ensure!(only.is_empty(), "{} and {way} differ in {only:#?}", first.0);
        }
        for known in known::KNOWN {
            ensure!(
                first.1.iter().any(|(name, _)| name == known.prometheus),
                "{} is missing",
                known.prometheus
            );
        }
        Ok(Some(()))
    })?;
    Ok(Verdict::Passed)
}

/// Names and labels of the agent's series, without those that Prometheus adds to a scrape.
fn series(all: Vec<BTreeMap<String, String>>) -> BTreeSet<(String, String)> {
    all.into_iter()
        .filter_map(|mut labels| {
            let name = labels.remove("__name__")?;
            let labels = comparable(&name, &labels);
            Some((name, labels))
        })
        .filter(|(name, _)| name != "up" && !name.starts_with("scrape_"))
        .collect()
}
