//! `/node` and `/metrics/json` of the replaced tool, with its keys in its order.

use std::collections::BTreeMap;

use serde::Serialize;

use super::gpu::{Device, devices, used_count};
use super::text::type_counts;
use crate::compat::gpus::gpus;
use crate::compat::host::Host;
use accelscope_core::metric::{Series, Timestamp};

/// A document of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `/metrics/json`.
    Summary,
    /// `/node`.
    Node,
}

/// The document of the node with this name at `now`. Every key is there; what is not known is null, and in `gpu_devices` and
/// `gpu_type_counts` absent.
pub fn json(document: Document, series: &[Series], node: &str, now: Timestamp) -> String {
    let host = Host::of(series, now);
    let written = match document {
        Document::Summary => serde_json::to_string(&summary(&host)),
        Document::Node => serde_json::to_string(&whole(&host, series, node)),
    };
    // Numbers, texts and maps with text keys: nothing that JSON cannot express.
    written.unwrap_or_default()
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    cpu_usage: Option<f32>,
    memory_total: Option<u64>,
    memory_used: Option<u64>,
    memory_usage_percent: Option<f32>,
    hostname: Option<&'a str>,
    os_name: Option<&'a str>,
    os_version: Option<&'a str>,
    uptime: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    hostname: Option<&'a str>,
    node: &'a str,
    os_name: Option<&'a str>,
    os_version: Option<&'a str>,
    kernel_version: Option<&'a str>,
    uptime_secs: Option<u64>,
    cpu_cores: Option<u64>,
    cpu_threads: Option<u64>,
    cpu_model: Option<&'a str>,
    cpu_usage_percent: Option<f32>,
    cpu_used_cores: Option<f32>,
    memory_total_bytes: Option<u64>,
    memory_used_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    memory_usage_percent: Option<f32>,
    gpu_count: Option<usize>,
    gpu_used_count: Option<usize>,
    gpu_devices: Vec<Device<'a>>,
    gpu_type_counts: BTreeMap<&'a str, u32>,
}

fn summary<'a>(host: &Host<'a>) -> Summary<'a> {
    Summary {
        cpu_usage: host.cpu_usage(),
        memory_total: host.memory,
        memory_used: host.memory_used(),
        memory_usage_percent: host.memory_usage(),
        hostname: host.name(),
        os_name: host.os_name(),
        os_version: host.os_version(),
        uptime: host.uptime,
    }
}

fn whole<'a>(host: &Host<'a>, series: &'a [Series], node: &'a str) -> Whole<'a> {
    let gpus = gpus(series);
    let gpu_devices = devices(&gpus);
    let gpu_count = gpus.count_or_none();
    Whole {
        hostname: host.name(),
        node,
        os_name: host.os_name(),
        os_version: host.os_version(),
        kernel_version: host.kernel_version(),
        uptime_secs: host.uptime,
        cpu_cores: host.physical_cpus,
        cpu_threads: host.logical_cpus,
        cpu_model: host.cpu_model(),
        cpu_usage_percent: host.cpu_usage(),
        cpu_used_cores: host.cpus_used(),
        memory_total_bytes: host.memory,
        memory_used_bytes: host.memory_used(),
        memory_available_bytes: host.memory_available,
        memory_usage_percent: host.memory_usage(),
        gpu_count,
        gpu_used_count: used_count(&gpus, &gpu_devices).or(gpu_count.filter(|count| *count == 0)),
        gpu_devices,
        gpu_type_counts: type_counts(&gpus),
    }
}
