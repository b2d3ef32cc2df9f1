//! Scenarios: requirements on the agent with real peers.

mod chaos;
mod collector;
mod containers;
mod ends;
mod formats;
mod known;
mod loss;
mod outage;
mod prometheus;
mod promtool;
mod signals;
mod vendors;
mod writers;

use anyhow::{Result, bail};

use super::bench::Bench;

/// Attributes of every resource, on any machine.
const RESOURCE: [&str; 6] = [
    "service.name",
    "service.instance.id",
    "service.version",
    "host.name",
    "host.arch",
    "os.type",
];

/// Result of a scenario that did not fail.
pub(super) enum Verdict {
    Passed,
    /// It cannot run here, with the reason.
    Skipped(String),
}

/// One requirement.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Bench<'_>) -> Result<Verdict>,
}

impl Scenario {
    /// Whether `name` is its name or that of its group.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

const fn scenario(name: &'static str, about: &'static str, run: fn(&Bench<'_>) -> Result<Verdict>) -> Scenario {
    Scenario { name, about, run }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario(
        "formats",
        "known values come out right on every --stdout format and on /metrics",
        formats::run,
    ),
    scenario(
        "collector-grpc",
        "a Collector receives every point over gRPC and shows our series",
        collector::grpc,
    ),
    scenario("collector-http", "the same over HTTP", collector::http),
    scenario(
        "prometheus",
        "remote write, Prometheus' own OTLP receiver and a scrape give equal series",
        prometheus::run,
    ),
    scenario(
        "ends",
        "what ends does so at once at every receiver, histograms and an agent that stops included",
        ends::run,
    ),
    scenario(
        "promtool",
        "promtool check metrics has nothing to say but what conventions ask for",
        promtool::run,
    ),
    scenario(
        "outage-lossless",
        "30 s without a receiver lose nothing while the queue holds it",
        outage::lossless,
    ),
    scenario(
        "outage-bounded",
        "what a queue too small loses is counted exactly",
        outage::bounded,
    ),
    scenario(
        "chaos",
        "two minutes of receivers that misbehave in every way: each point arrives or is counted",
        chaos::run,
    ),
    scenario(
        "writers-stopped",
        "SIGSTOP ends a writer's series after max_age, SIGCONT brings them back",
        writers::stopped,
    ),
    scenario(
        "writers-killed",
        "what a killed writer leaves behind never shows as live",
        writers::killed,
    ),
    scenario(
        "writers-directory",
        "a directory deleted and made again is noticed",
        writers::directory,
    ),
    scenario(
        "writers-container",
        "a writer in a container of its own is found and named",
        containers::discovered,
    ),
    scenario(
        "writers-two-pid-1",
        "two containers' writers, both pid 1, are each attributed",
        containers::own_directories,
    ),
    scenario(
        "writers-ambiguous",
        "two such writers in one directory are shown without process",
        containers::shared_directory,
    ),
    scenario(
        "vendors",
        "what NVML and npu-smi tell (both played) comes right to a Collector and a Prometheus",
        vendors::told,
    ),
    scenario(
        "calls",
        "a pod's ioctls, counted in the kernel, come to both exactly",
        vendors::counted,
    ),
    scenario("sigterm", "SIGTERM flushes within 3 s and exits 0", signals::sigterm),
    scenario(
        "sigterm-hanging",
        "a receiver that never answers does not hold it up",
        signals::sigterm_hanging,
    ),
    scenario(
        "service-links",
        "the variables of a Kubernetes Service named accelscope change nothing",
        signals::service_links,
    ),
];

/// Verdict if `feature` is missing: skipped, or an error if `ACCELSCOPE_REQUIRE` contains it.
fn without(feature: &str, why: &str) -> Result<Verdict> {
    if skip_test::is_required(feature) {
        bail!("{why}, and ACCELSCOPE_REQUIRE asks for {feature}");
    }
    Ok(Verdict::Skipped(format!(
        "{why} (ACCELSCOPE_REQUIRE={feature} makes this a failure)"
    )))
}
