//! `jicki/system-info-exporter` 0.1.0: its `hw_*` families, its two JSON documents and its health endpoints.
//!
//! Names, labels, texts of HELP, formats and order are that tool's. A value that is not known is absent, or null in JSON, where
//! it wrote 0; and a value that is not read any more ends, where it repeated that of a GPU without a limit. deploy/README.md
//! lists every difference.

mod gpu;
mod json;
mod text;

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;

use super::exposition::{json_route, metrics_route};
use super::host::UNKNOWN;
use crate::http::Route;
use crate::prometheus::MetricsSource;
use accelscope_core::metric::{Resource, Timestamp};

pub use json::{Document, json};
pub use text::render;

/// `/metrics`, `/metrics/json` and `/node`, and `/health`, `/healthz` and `/ready`, which answer 200 while the process is alive.
/// `node` is the node's name where it is not that of the resource.
pub fn routes(source: &Arc<dyn MetricsSource>, node: Option<&str>) -> Vec<Route> {
    let name = node_name(node);
    let about = "the metrics of system-info-exporter";
    let metrics = metrics_route("/metrics", about, source, move |series, resource| {
        render(series, &name(resource), Timestamp::now())
    });
    let documents = [
        ("/metrics/json", "CPU and memory of the node in JSON", Document::Summary),
        ("/node", "the node and its GPUs in JSON", Document::Node),
    ]
    .map(|(path, about, document)| {
        let name = node_name(node);
        json_route(path, about, source, move |series, resource| {
            json(document, series, &name(resource), Timestamp::now())
        })
    });
    let health = ["/health", "/healthz", "/ready"].map(|path| {
        let answer = async || ([(CONTENT_TYPE, "application/json")], HEALTHY);
        Route::get(path, "200 while the process is alive", answer).public()
    });
    std::iter::once(metrics).chain(documents).chain(health).collect()
}

const HEALTHY: &str = concat!(
    "{\"status\":\"healthy\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}"
);

fn node_name(set: Option<&str>) -> impl Fn(&Resource) -> String + Send + Sync + use<> {
    let set = set.map(str::to_owned);
    move |resource| {
        let name = set.clone().unwrap_or_else(|| resource.node_name());
        if name.is_empty() { UNKNOWN.to_owned() } else { name }
    }
}

#[cfg(test)]
mod tests;
