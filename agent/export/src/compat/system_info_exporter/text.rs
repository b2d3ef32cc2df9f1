//! `/metrics` of the replaced tool.

use std::collections::BTreeMap;

use super::gpu::{Device, devices, used_count};
use crate::compat::exposition::Exposition;
use crate::compat::gpus::{Gpus, gpus};
use crate::compat::host::Host;
use accelscope_core::metric::{Series, Timestamp};

/// A family with one sample: its name, its help, and the sample's value.
type OfHost = (&'static str, &'static str, fn(&Host<'_>) -> Option<String>);

const OF_HOST: [OfHost; 8] = [
    ("hw_cpu_cores", "Number of physical CPU cores", |host| {
        number(host.physical_cpus)
    }),
    ("hw_cpu_threads", "Number of CPU threads", |host| {
        number(host.logical_cpus)
    }),
    ("hw_cpu_usage_percent", "CPU usage percentage", |host| {
        decimals(host.cpu_usage())
    }),
    ("hw_cpu_used_cores", "Number of CPU cores currently in use", |host| {
        decimals(host.cpus_used())
    }),
    ("hw_memory_total_bytes", "Total memory in bytes", |host| {
        number(host.memory)
    }),
    ("hw_memory_used_bytes", "Used memory in bytes", |host| {
        number(host.memory_used())
    }),
    ("hw_memory_available_bytes", "Available memory in bytes", |host| {
        number(host.memory_available)
    }),
    ("hw_memory_usage_percent", "Memory usage percentage", |host| {
        decimals(host.memory_usage())
    }),
];

fn number(value: Option<u64>) -> Option<String> {
    Some(value?.to_string())
}

fn decimals(value: Option<f32>) -> Option<String> {
    Some(format!("{:.2}", value?))
}

/// A family with a sample for each GPU: its name, its help, and the sample's value.
type OfGpu = (&'static str, &'static str, fn(&Device<'_>) -> Option<i64>);

const OF_GPU: [OfGpu; 7] = [
    ("hw_gpu_memory_total_bytes", "GPU total memory in bytes", |gpu| {
        bytes(gpu.memory_total_mb)
    }),
    ("hw_gpu_memory_used_bytes", "GPU used memory in bytes", |gpu| {
        bytes(gpu.memory_used_mb)
    }),
    ("hw_gpu_memory_free_bytes", "GPU free memory in bytes", |gpu| {
        bytes(gpu.memory_free_mb)
    }),
    ("hw_gpu_utilization_percent", "GPU utilization percentage", |gpu| {
        gpu.utilization_percent
    }),
    ("hw_gpu_temperature_celsius", "GPU temperature in Celsius", |gpu| {
        gpu.temperature_celsius
    }),
    ("hw_gpu_power_draw_watts", "GPU power draw in watts", |gpu| {
        gpu.power_draw_watts
    }),
    ("hw_gpu_power_limit_watts", "GPU power limit in watts", |gpu| {
        gpu.power_limit_watts
    }),
];

fn bytes(mebibytes: Option<i64>) -> Option<i64> {
    mebibytes?.checked_mul(1 << 20)
}

/// The whole exposition, in text 0.0.4, of the node with this name at `now`.
pub fn render(series: &[Series], node: &str, now: Timestamp) -> String {
    let mut out = Exposition::default();
    host(&mut out, &Host::of(series, now), node);
    gpu(&mut out, &gpus(series), node);
    out.into_text()
}

fn host(out: &mut Exposition, host: &Host<'_>, node: &str) {
    out.gauge("hw_node_info", "Node hardware information");
    if let (Some(os), Some(version), Some(kernel), Some(model)) = (
        host.os_name(),
        host.os_version(),
        host.kernel_version(),
        host.cpu_model(),
    ) {
        let labels = [
            ("node", node),
            ("os", os),
            ("os_version", version),
            ("kernel", kernel),
            ("cpu_model", model),
        ];
        out.sample(&labels, 1);
    }
    out.family("hw_node_uptime_seconds", "Node uptime in seconds", "counter");
    if let Some(seconds) = host.uptime {
        out.sample(&[("node", node)], seconds);
    }
    for (name, help, value) in OF_HOST {
        out.gauge(name, help);
        if let Some(value) = value(host) {
            out.sample(&[("node", node)], value);
        }
    }
}

fn gpu(out: &mut Exposition, gpus: &Gpus<'_>, node: &str) {
    let devices = devices(gpus);
    out.gauge("hw_gpu_count", "Total number of GPUs per node");
    if let Some(count) = gpus.count() {
        out.sample(&[("node", node)], count);
    }
    out.gauge("hw_gpu_used_count", "Number of GPUs currently in use per node");
    if let Some(used) = used_count(gpus, &devices) {
        out.sample(&[("node", node)], used);
    }
    out.gauge("hw_gpu_type_count", "Number of GPUs by type per node");
    for (model, count) in type_counts(gpus) {
        out.sample(&[("node", node), ("gpu_type", model)], count);
    }
    for (name, help, value) in OF_GPU {
        out.gauge(name, help);
        for device in &devices {
            let index = device.index.to_string();
            let labels = [
                ("node", node),
                ("gpu_index", &index),
                ("gpu_name", device.name),
                ("gpu_uuid", device.uuid),
            ];
            if let Some(value) = value(device) {
                out.sample(&labels, value);
            }
        }
    }
}

/// GPUs by model, once all of them are known.
pub(super) fn type_counts<'a>(gpus: &Gpus<'a>) -> BTreeMap<&'a str, u32> {
    let mut counts = BTreeMap::new();
    for gpu in gpus.all.iter().filter(|_| gpus.are_complete()) {
        if !gpu.model.is_empty() {
            *counts.entry(gpu.model).or_insert(0) += 1;
        }
    }
    counts
}
