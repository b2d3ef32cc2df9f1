//! `agent`: samples, pushes and answers pulls until it is told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::readiness::AllReported;
use super::start::Started;
use crate::config::Config;
use crate::export::compat::hailo_exporter;
use crate::export::http::{self, Auth, BindError, Listener};
use crate::export::otlp::{self, BuildError, Exporter};
use crate::export::prometheus::{MetricsSource, Renderer};

/// What SIGTERM leaves for sending what is left; the agent is gone within three seconds.
const FLUSH: Duration = Duration::from_millis(2500);

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A listener's address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A destination cannot be used.
    #[error(transparent)]
    Destination(#[from] BuildError),
    /// Signals cannot be waited for.
    #[error("the signals that end the agent cannot be watched")]
    Signals(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT, then sends what is left.
pub async fn run(config: &Config, started: &Started, renderer: Renderer) -> Result<(), DaemonError> {
    let mut ended = Signals::watch().map_err(DaemonError::Signals)?;
    for listener in listeners(config, started, renderer)? {
        tokio::spawn(listener.serve(std::future::pending()));
    }
    let exporter = Exporter::new(config.destinations())?;
    exporter.start();
    push(config.otlp.interval, started, &exporter, &mut ended).await;
    if !exporter.is_empty() {
        collect(started, &exporter);
        let report = exporter.flush(FLUSH).await;
        if report.points_left > 0 {
            tracing::warn!(
                points = report.points_left,
                "stopped with points that no destination took; see agent.export.* and the lines above for why",
            );
        }
    }
    Ok(())
}

async fn push(interval: Duration, started: &Started, exporter: &Exporter, ended: &mut Signals) {
    if exporter.is_empty() {
        return ended.received().await;
    }
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = ended.received() => return,
            _ = ticks.tick() => collect(started, exporter),
        }
    }
}

fn collect(started: &Started, exporter: &Exporter) {
    let changed = started.hub.collect();
    if !changed.is_empty() {
        exporter.push(&otlp::encode(started.hub.resource(), &changed));
    }
}

fn listeners(config: &Config, started: &Started, renderer: Renderer) -> Result<Vec<Listener>, BindError> {
    let source: Arc<dyn MetricsSource> = started.hub.clone();
    let mut listeners = Vec::new();
    if config.http.enabled {
        let readiness = Arc::new(AllReported { statuses: started.statuses.clone() });
        let routes = http::agent_routes(source.clone(), readiness, renderer);
        listeners.push(Listener::bind("http.listen", config.http.listen, routes, Auth::None)?);
    }
    if let Some(address) = config.compat.hailo_exporter.listen {
        let routes = hailo_exporter::routes(&source);
        listeners.push(Listener::bind("compat.hailo_exporter.listen", address, routes, Auth::None)?);
    }
    Ok(listeners)
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
