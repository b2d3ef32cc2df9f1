//! Series that end do so at once at every receiver, all of them, and none is refused.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::{Verdict, known, prometheus, signals};
use crate::e2e::bench::Bench;
use crate::e2e::peer::{Collector, Prometheus};
use crate::e2e::wait::{self, SOON};

/// Series by remote write and by Prometheus' own receiver.
const WAYS: [(&str, &str); 2] = [
    ("remote write", r#"{via="remote_write",__name__!="target_info"}"#),
    (
        "the OTLP receiver",
        r#"{job="accelscope",via="",__name__!="target_info"}"#,
    ),
];

struct Receivers {
    collector: Collector,
    prometheus: Prometheus,
}

impl Receivers {
    /// Names of the live series at each receiver.
    fn live(&mut self, bench: &Bench<'_>) -> Result<Vec<(&'static str, Vec<String>)>> {
        let page = self.collector.samples(bench)?.into_iter().map(|sample| sample.name);
        let mut all = vec![(
            "the Collector's page",
            page.filter(|name| name != "target_info").collect(),
        )];
        for (way, selector) in WAYS {
            let values = self.prometheus.values(selector)?;
            all.push((way, values.into_iter().map(|(name, ..)| name).collect()));
        }
        Ok(all)
    }
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Verdict> {
    let writer = known::writer(bench, "rename", Duration::from_secs(1))?;
    let prometheus = Prometheus::start(bench, "127.0.0.1:9")?;
    let collector = Collector::start(bench, "collector", Some(prometheus.remote_write_url()))?;
    let mut agent = prometheus::agent(bench, &collector, &prometheus, free_port::free_port())?;
    let mut receivers = Receivers { collector, prometheus };
    let of_networks = |name: &String| name.starts_with("hailo_network_") || name.starts_with("hailo_stream_");
    wait::until("several series of one metric, and histograms", SOON, || {
        agent.process.check()?;
        for (way, names) in receivers.live(bench)? {
            let rates = names
                .iter()
                .filter(|name| *name == "hailo_network_frame_rate_per_second");
            ensure!(rates.count() > 1, "{way} has not several networks");
            let has_histogram = names.iter().any(|name| name == "agent_sampler_duration_seconds_bucket");
            ensure!(has_histogram, "{way} has no histogram");
        }
        Ok(Some(()))
    })?;
    writer.signal(Signal::KILL)?;
    // A receiver gives up a series by itself after five minutes, which is longer.
    wait::until("the end of the networks", SOON, || {
        for (way, names) in receivers.live(bench)? {
            let live: Vec<_> = names.iter().filter(|name| of_networks(name)).collect();
            ensure!(live.is_empty(), "{way} still has {live:?}");
            ensure!(!names.is_empty(), "{way} has lost what did not end");
        }
        Ok(Some(()))
    })?;
    signals::terminate(&mut agent)?;
    wait::until("the end of everything", SOON, || {
        for (way, names) in receivers.live(bench)? {
            ensure!(names.is_empty(), "{way} still has {names:?}");
        }
        Ok(Some(()))
    })?;
    let said = std::fs::read_to_string(&agent.process.err).context("the agent's log")?;
    ensure!(!said.contains("refused points"), "{said}");
    Ok(Verdict::Passed)
}
