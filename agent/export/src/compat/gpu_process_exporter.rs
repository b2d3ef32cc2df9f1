//! AstraGo's "GPU Process Exporter" (`xiilab/astrago-deployment`, `applications/gpu-process-exporter`): the series of its
//! last script, which wrote a file for node-exporter's textfile collector.
//!
//! Names, labels and their order are the script's. Values differ where the script's were wrong: the total is not always 0,
//! an idle GPU has its node, pods and containers have their names, and a utilization that the driver does not report is
//! absent, where the script wrote a `-` for which node-exporter refused the whole file. `command` is the executable's base
//! name. While the number of processes of one GPU is unknown, there is no total. Processes that a limit leaves without series
//! are counted. `gpu_process_start_time_seconds`, which the script declared without samples, has samples.

use std::sync::Arc;

use super::exposition::{Exposition, metrics_route, rounded};
use super::gpus::{Gpu, Process, gpus};
use crate::http::Route;
use crate::prometheus::MetricsSource;
use accelscope_core::metric::{Resource, Series};
use accelscope_core::words;

/// Format of the label `pid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PidFormat {
    /// Process id on the host, as in every published script.
    #[default]
    Raw,
    /// `gpu<index>_<pid>`, as in its README.
    GpuPrefixed,
}

words!(PidFormat, "\"raw\" or \"gpu_prefixed\"", "raw" => PidFormat::Raw, "gpu_prefixed" => PidFormat::GpuPrefixed);

/// `/metrics`.
pub fn routes(source: &Arc<dyn MetricsSource>, format: PidFormat) -> Vec<Route> {
    let render = move |series: &[Series], resource: &Resource| render(series, resource, format);
    let about = "the metrics of GPU Process Exporter";
    vec![metrics_route("/metrics", about, source, render)]
}

/// The whole exposition, in text 0.0.4.
pub fn render(series: &[Series], resource: &Resource, format: PidFormat) -> String {
    let (gpus, node) = (gpus(series), resource.node_name());
    let rows: Vec<Row> = gpus.all.iter().flat_map(|gpu| rows(gpu, &node, format)).collect();
    let mut out = Exposition::default();
    counts(&mut out, &gpus.all);
    if gpus.have_processes() {
        out.gauge(
            "gpu_total_processes",
            "Processes on all GPUs; one on two GPUs counts twice.",
        );
        let total: usize = gpus.all.iter().filter_map(Gpu::process_count).sum();
        out.sample(&[], total as f64);
    }
    infos(&mut out, &gpus.all, &rows, &node);
    for (name, help, value) in PER_PROCESS {
        out.gauge(name, help);
        for row in &rows {
            if let Some(value) = value(row) {
                out.sample(&row.labels(None), value);
            }
        }
    }
    out.into_text()
}

/// A family with a sample for each process: its name, its help, and the sample's value.
type PerProcess = (&'static str, &'static str, fn(&Row) -> Option<f64>);

const PER_PROCESS: [PerProcess; 3] = [
    (
        "gpu_process_utilization",
        "Share of the GPU's multiprocessors that the process used, in percent.",
        |row| Some(rounded(row.utilization? * 100.0, 2)),
    ),
    (
        "gpu_process_memory_utilization",
        "Share of the memory of the GPU, or of its instance, that the process has, in percent.",
        |row| Some(rounded(row.memory_share? * 100.0, 1)),
    ),
    (
        "gpu_process_start_time_seconds",
        "When the process started, in seconds since the epoch.",
        |row| row.start,
    ),
];

/// A sample for each GPU, or for each of its instances with processes.
fn counts(out: &mut Exposition, gpus: &[Gpu<'_>]) {
    out.gauge("gpu_process_count", "Processes on the GPU.");
    for gpu in gpus {
        for ((gi, ci), count) in gpu.process_counts() {
            let (index, gi, ci) = (gpu.index.to_string(), id(gi), id(ci));
            out.sample(&[("gpu", &index), ("gi_id", &gi), ("ci_id", &ci)], count as f64);
        }
    }
}

fn infos(out: &mut Exposition, gpus: &[Gpu<'_>], rows: &[Row], node: &str) {
    out.gauge(
        "gpu_process_info",
        "1 for each process on a GPU, 0 for a GPU without any.",
    );
    for row in rows {
        out.sample(&row.labels(Some("active")), 1.0);
    }
    for gpu in gpus.iter().filter(|gpu| gpu.process_count() == Some(0)) {
        let index = gpu.index.to_string();
        let labels = [
            ("node", node),
            ("gpu", &index),
            ("pid", NONE),
            ("command", NONE),
            ("pod", NONE),
            ("namespace", NONE),
            ("container", NONE),
            ("status", "idle"),
            ("gpu_memory", "0MiB"),
            ("gi_id", NONE),
            ("ci_id", NONE),
        ];
        out.sample(&labels, 0.0);
    }
}

/// Label of something that does not exist.
const NONE: &str = "none";
/// Label of something that is not known, and of a process outside pods.
const UNKNOWN: &str = "unknown";

/// One process with its labels.
struct Row {
    /// All labels except `status`, in the script's order.
    texts: [(&'static str, String); 11],
    utilization: Option<f64>,
    memory_share: Option<f64>,
    start: Option<f64>,
}

impl Row {
    fn new(gpu: &Gpu<'_>, process: &Process<'_>, node: &str, format: PidFormat) -> Self {
        let or_unknown = |text: Option<&str>| text.unwrap_or(UNKNOWN).to_owned();
        let memory = process.memory.map(|bytes| (bytes / f64::from(1 << 20)).round());
        let total = gpu.memory_of(process).filter(|total| *total > 0.0);
        Self {
            texts: [
                ("node", node.to_owned()),
                ("gpu", gpu.index.to_string()),
                (
                    "pid",
                    match format {
                        PidFormat::Raw => process.pid.to_string(),
                        PidFormat::GpuPrefixed => format!("gpu{}_{}", gpu.index, process.pid),
                    },
                ),
                ("command", or_unknown(process.command)),
                ("pod", or_unknown(process.pod)),
                ("namespace", or_unknown(process.namespace)),
                ("container", or_unknown(process.container)),
                // The script took this text from nvidia-smi, which writes [N/A] for what the driver does not report.
                (
                    "gpu_memory",
                    memory.map_or("[N/A]MiB".to_owned(), |mebibytes| format!("{mebibytes}MiB")),
                ),
                (
                    "start_time",
                    process.start.map_or("0".to_owned(), |start| start.floor().to_string()),
                ),
                ("gi_id", id(process.instance.0)),
                ("ci_id", id(process.instance.1)),
            ],
            utilization: process.utilization,
            memory_share: process.memory.zip(total).map(|(used, total)| used / total),
            start: process.start,
        }
    }

    fn labels<'a>(&'a self, status: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
        let mut labels: Vec<_> = self.texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        if let Some(status) = status {
            labels.insert(7, ("status", status));
        }
        labels
    }
}

fn rows(gpu: &Gpu<'_>, node: &str, format: PidFormat) -> Vec<Row> {
    let row = |process| Row::new(gpu, process, node, format);
    gpu.processes.iter().map(row).collect()
}

fn id(instance: Option<i64>) -> String {
    instance.map_or(NONE.to_owned(), |id| id.to_string())
}
