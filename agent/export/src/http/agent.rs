//! Routes of `http.listen`.

use std::future::ready;
use std::sync::Arc;

use accelscope_core::printable::printable_lines;
use axum::http::StatusCode;

use super::negotiate::negotiate;
use super::{Route, Sink};
use crate::prometheus::{MetricsSource, Renderer};

/// Source of the agent's readiness.
pub trait Readiness: Send + Sync {
    /// `Ok` once every enabled sampler had its first outcome. Both texts have a line per sampler with its state.
    fn check(&self) -> Result<String, String>;
}

/// `/metrics`, `/healthz` and `/readyz`.
pub fn routes(source: Arc<dyn MetricsSource>, readiness: Arc<dyn Readiness>, renderer: Renderer) -> Vec<Route> {
    let render = move |format, sink: &mut Sink| {
        // The sink keeps its own error.
        renderer.write(format, &source.series(), source.resource(), sink).ok();
    };
    let readyz = move || {
        let (status, text) = match readiness.check() {
            Ok(text) => (StatusCode::OK, text),
            Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        };
        ready((status, printable_lines(&text)))
    };
    vec![
        Route::metrics(
            "/metrics",
            "all metrics, as Prometheus text or OpenMetrics",
            negotiate,
            render,
        ),
        Route::get("/healthz", "200 while the process is alive", async || "alive\n").public(),
        Route::get(
            "/readyz",
            "200 once every enabled sampler had its first outcome",
            readyz,
        )
        .public(),
    ]
}
