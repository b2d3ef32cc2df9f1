//! A real Prometheus that receives remote write and OTLP, and scrapes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::e2e::bench::{Bench, get};
use crate::e2e::process::{Process, bound};
use crate::e2e::wait;
use crate::tools::data;

pub(crate) struct Prometheus {
    process: Process,
    url: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<BTreeMap<String, String>>,
}

/// Name, labels and value of a series at one time.
pub(crate) type Instant = (String, BTreeMap<String, String>, f64);

#[derive(Deserialize)]
struct Vector {
    data: Found,
}

#[derive(Deserialize)]
struct Found {
    result: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    metric: BTreeMap<String, String>,
    /// Time, and value as text.
    value: (f64, String),
}

impl Prometheus {
    /// Starts it on `port`; it scrapes `target`, a host and port.
    pub(crate) fn start(bench: &Bench<'_>, target: &str) -> Result<Self> {
        let port = free_port::free_port();
        let config = std::fs::read_to_string(data("prometheus.yaml"))?.replace("SCRAPE_TARGET", target);
        let path = bench.path("prometheus.yaml");
        std::fs::write(&path, config)?;
        let mut command = bound(&bench.tools.prometheus);
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", bench.path("tsdb").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(["--web.enable-remote-write-receiver", "--web.enable-otlp-receiver"]);
        let mut process = Process::start(bench.work, "prometheus", &mut command)?;
        let url = format!("http://127.0.0.1:{port}");
        wait::until("Prometheus to be ready", wait::SOON, || {
            process.check()?;
            get(&format!("{url}/-/ready"), &[]).map(Some)
        })?;
        Ok(Self { process, url })
    }

    pub(crate) fn remote_write_url(&self) -> String {
        format!("{}/api/v1/write", self.url)
    }

    pub(crate) fn otlp_url(&self) -> String {
        format!("{}/api/v1/otlp", self.url)
    }

    /// Labels of the matching series; the name is the label `__name__`.
    pub(crate) fn series(&mut self, selector: &str) -> Result<Vec<BTreeMap<String, String>>> {
        self.process.check()?;
        let text = get(&format!("{}/api/v1/series?match[]={}", self.url, escape(selector)), &[])?;
        let answer: Answer = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok(answer.data)
    }

    /// Current samples of the matching series.
    pub(crate) fn values(&mut self, selector: &str) -> Result<Vec<Instant>> {
        self.process.check()?;
        let text = get(&format!("{}/api/v1/query?query={}", self.url, escape(selector)), &[])?;
        let answer: Vector = serde_json::from_str(&text).with_context(|| text.clone())?;
        let each = answer.data.result.into_iter().map(|mut found| {
            let name = found.metric.remove("__name__").unwrap_or_default();
            let value = found
                .value
                .1
                .parse()
                .with_context(|| format!("{name}: {}", found.value.1))?;
            Ok((name, found.metric, value))
        });
        each.collect()
    }
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
