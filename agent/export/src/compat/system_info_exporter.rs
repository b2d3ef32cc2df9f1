//! `jicki/system-info-exporter`: its `hw_gpu_*` families and its health endpoints.
//!
//! A value that the driver does not report is absent, where the replaced exporter wrote 0, and a value that is not read any
//! more ends, where it repeated the old one without a limit. Counts are values too: without any known GPU, and for the used
//! ones while the processes of one GPU are unknown, there is none. Its families of node, CPU and memory, `/metrics/json` and
//! `/node` are of the host, which the agent does not read yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;

use super::exposition::{Exposition, metrics_route, rounded};
use super::gpus::{Gpu, gpus};
use crate::http::Route;
use crate::prometheus::MetricsSource;
use accelscope_core::metric::{Resource, Series};

/// `/metrics`, and `/health`, `/healthz` and `/ready`, which answer 200 while the process is alive.
pub fn routes(source: &Arc<dyn MetricsSource>) -> Vec<Route> {
    let health = ["/health", "/healthz", "/ready"].map(|path| {
        let answer = async || ([(CONTENT_TYPE, "application/json")], HEALTHY);
        Route::get(path, "200 while the process is alive", answer).public()
    });
    let metrics = metrics_route("/metrics", "the metrics of system-info-exporter", source, render);
    std::iter::once(metrics).chain(health).collect()
}

const HEALTHY: &str = concat!(
    "{\"status\":\"healthy\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}"
);

/// A family with a sample for each GPU: its name, its help, and the sample's value.
type PerGpu = (&'static str, &'static str, fn(&Gpu<'_>) -> Option<f64>);

const PER_GPU: [PerGpu; 7] = [
    ("hw_gpu_memory_total_bytes", "Memory of the GPU.", |gpu| {
        gpu.memory_total
    }),
    ("hw_gpu_memory_used_bytes", "Memory of the GPU that is in use.", |gpu| {
        gpu.memory_used
    }),
    ("hw_gpu_memory_free_bytes", "Memory of the GPU that is free.", |gpu| {
        Some(gpu.memory_total? - gpu.memory_used? - gpu.memory_reserved.unwrap_or_default())
    }),
    (
        "hw_gpu_utilization_percent",
        "Share of time in which the GPU was busy.",
        |gpu| Some(rounded(gpu.utilization? * 100.0, 2)),
    ),
    ("hw_gpu_temperature_celsius", "Temperature of the GPU.", |gpu| {
        gpu.temperature
    }),
    ("hw_gpu_power_draw_watts", "Electric power that the GPU draws.", |gpu| {
        Some(rounded(gpu.power?, 3))
    }),
    (
        "hw_gpu_power_limit_watts",
        "Electric power that the GPU may draw.",
        |gpu| Some(rounded(gpu.power_limit?, 3)),
    ),
];

/// The whole exposition, in text 0.0.4.
pub fn render(series: &[Series], resource: &Resource) -> String {
    let (gpus, node) = (gpus(series), resource.node_name());
    let mut out = Exposition::default();
    if let Some(count) = gpus.count() {
        out.gauge("hw_gpu_count", "GPUs of the node.");
        out.sample(&[("node", &node)], count as f64);
    }
    if gpus.have_processes() {
        out.gauge("hw_gpu_used_count", "GPUs of the node that have at least one process.");
        let used = gpus.all.iter().filter(|gpu| gpu.process_count() > Some(0));
        out.sample(&[("node", &node)], used.count() as f64);
    }
    out.gauge("hw_gpu_type_count", "GPUs of the node by model.");
    let mut models = BTreeMap::new();
    let has_model = |gpu: &&Gpu<'_>| !gpu.model.is_empty();
    for gpu in gpus.all.iter().filter(|_| gpus.are_complete()).filter(has_model) {
        *models.entry(gpu.model).or_insert(0u32) += 1;
    }
    for (model, count) in models {
        out.sample(&[("node", &node), ("gpu_type", model)], f64::from(count));
    }
    for (name, help, value) in PER_GPU {
        out.gauge(name, help);
        for gpu in &gpus.all {
            let index = gpu.index.to_string();
            let labels = [
                ("node", node.as_str()),
                ("gpu_index", &index),
                ("gpu_name", gpu.model),
                ("gpu_uuid", gpu.uuid),
            ];
            if let Some(value) = value(gpu) {
                out.sample(&labels, value);
            }
        }
    }
    out.into_text()
}
