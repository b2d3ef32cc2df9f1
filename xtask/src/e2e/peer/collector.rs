//! A real OpenTelemetry Collector.

use std::path::PathBuf;

use anyhow::Result;

use crate::e2e::bench::{Bench, get};
use crate::e2e::process::{Process, bound};
use crate::e2e::reading::{Point, Sample};
use crate::e2e::wait;
use crate::tools::data;

pub(crate) struct Collector {
    name: &'static str,
    process: Option<Process>,
    grpc: u16,
    http: u16,
    prometheus: u16,
    remote_write: Option<String>,
    /// Output of its file exporter, one file per run.
    files: Vec<PathBuf>,
}

impl Collector {
    /// Starts it. `remote_write` is the address of a Prometheus to which it writes as well.
    pub(crate) fn start(bench: &Bench<'_>, name: &'static str, remote_write: Option<String>) -> Result<Self> {
        let mut collector = Self {
            name,
            process: None,
            grpc: free_port::free_port(),
            http: free_port::free_port(),
            prometheus: free_port::free_port(),
            remote_write,
            files: Vec::new(),
        };
        collector.resume(bench)?;
        Ok(collector)
    }

    /// Starts it again, on the same ports, after [`stop`](Self::stop).
    pub(crate) fn resume(&mut self, bench: &Bench<'_>) -> Result<()> {
        let run = self.files.len();
        let file = bench.path(&format!("{}-{run}.jsonl", self.name));
        let mut command = bound(&bench.tools.otelcol);
        command.arg("--config").arg(data("collector.yaml"));
        if let Some(url) = &self.remote_write {
            command
                .arg("--config")
                .arg(data("collector-remote-write.yaml"))
                .env("REMOTE_WRITE_URL", url);
        }
        command.env("FILE", &file);
        for (name, port) in [
            ("GRPC_PORT", self.grpc),
            ("HTTP_PORT", self.http),
            ("PROMETHEUS_PORT", self.prometheus),
        ] {
            command.env(name, port.to_string());
        }
        let mut process = Process::start(bench.work, &format!("{}-{run}", self.name), &mut command)?;
        let url = format!("http://127.0.0.1:{}/metrics", self.prometheus);
        wait::until("the Collector to listen", wait::SOON, || {
            process.check()?;
            // Receivers start after exporters, so both are checked.
            std::net::TcpStream::connect(("127.0.0.1", self.grpc))?;
            std::net::TcpStream::connect(("127.0.0.1", self.http))?;
            get(&url, &[]).map(Some)
        })?;
        self.files.push(file);
        self.process = Some(process);
        Ok(())
    }

    /// Shuts it down in an orderly way, so that its file contains all acknowledged points.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal(rustix::process::Signal::TERM)?;
            process.ended(wait::SOON)?;
        }
        Ok(())
    }

    pub(crate) fn grpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// All points that its file exporter wrote in all its runs.
    pub(crate) fn points(&self, bench: &Bench<'_>) -> Result<Vec<Point>> {
        bench.otlp_points(&self.files)
    }

    /// Page of its Prometheus exporter.
    pub(crate) fn samples(&self, bench: &Bench<'_>) -> Result<Vec<Sample>> {
        bench.samples(
            "text",
            &get(&format!("http://127.0.0.1:{}/metrics", self.prometheus), &[])?,
        )
    }
}
