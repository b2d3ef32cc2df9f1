//! `agent`: samples, pushes and answers pulls until it is told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::readiness::AllReported;
use crate::config::Config;
use accelscope_core::host::is_hangup_ignored;
use accelscope_core::metric::MetricsSource;
use accelscope_core::metric::Timestamp;
use accelscope_export::compat::textfile::TextFile;
use accelscope_export::compat::{gpu_process_exporter, hailo_exporter, system_info_exporter};
use accelscope_export::http::{self, Auth, BindError, Listener, Readiness};
#[cfg(feature = "k8s-annotation")]
use accelscope_export::node_annotation::{self, NodeAnnotation};
use accelscope_export::otlp::{BuildError, Encoder, Exporter};
use accelscope_export::prometheus::Renderer;
use accelscope_pipeline::Started;

/// What SIGTERM leaves for sending what is left; the agent is gone within three seconds.
const FLUSH: Duration = Duration::from_millis(2000);

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A listener's address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A destination cannot be used.
    #[error(transparent)]
    Destination(#[from] BuildError),
    /// The node annotation cannot be written.
    #[cfg(feature = "k8s-annotation")]
    #[error(transparent)]
    Annotation(#[from] node_annotation::SettingsError),
    /// Signals cannot be waited for.
    #[error("the signals that end the agent cannot be watched")]
    Signals(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT, then sends what is left.
pub async fn run(config: &Config, started: &Started, renderer: Renderer) -> Result<(), DaemonError> {
    let mut ended = Signals::watch().map_err(DaemonError::Signals)?;
    for listener in listeners(config, started, &renderer)? {
        tokio::spawn(listener.serve(std::future::pending()));
    }
    let leaving = Arc::new(Notify::new());
    let writers = writers(config, started, &leaving)?;
    let destinations = config.destinations();
    if destinations.is_empty() {
        ended.received().await;
        leaving.notify_waiters();
        last_words(writers).await;
        return Ok(());
    }
    let exporter = Exporter::new(destinations)?;
    let sending = exporter.clone();
    tokio::spawn(async move { sending.run().await });
    let mut collector = Collector {
        started,
        encoder: Encoder::new(started.hub.resource()),
        exporter: &exporter,
    };
    collector.every(config.otlp.interval, &mut ended).await;
    collector.collect();
    leaving.notify_waiters();
    let (report, ()) = tokio::join!(exporter.flush(Instant::now() + FLUSH), last_words(writers));
    for left in report.left {
        tracing::warn!(
            destination = left.destination,
            points = left.waiting.points,
            error = left.last_error.as_deref().unwrap_or("no answer in time"),
            "stopped with points that the destination did not take; they are lost",
        );
    }
    Ok(())
}

/// Adds a task that writes the newest state somewhere, if the configuration asks for it. Ends when told so.
type Writer = fn(&Config, &Started, &Arc<Notify>, &mut JoinSet<()>) -> Result<(), DaemonError>;

/// Those that can be refused.
const WRITERS: &[Writer] = &[
    #[cfg(feature = "k8s-annotation")]
    node_annotation,
];

/// Tasks that write the newest state somewhere and take it back at the end.
fn writers(config: &Config, started: &Started, leaving: &Arc<Notify>) -> Result<JoinSet<()>, DaemonError> {
    let mut writers = JoinSet::new();
    for writer in WRITERS {
        writer(config, started, leaving, &mut writers)?;
    }
    if let Some(setting) = &config.compat.textfile {
        let format = config.compat.gpu_process_exporter.pid_format;
        let file = TextFile::new(setting, format, started.hub.clone(), readiness(started));
        let leaving = leaving.clone();
        writers.spawn(async move {
            // Told of it even where the task has not begun to wait.
            let told = leaving.notified();
            file.run(told).await;
        });
    }
    Ok(writers)
}

#[cfg(feature = "k8s-annotation")]
fn node_annotation(
    config: &Config,
    started: &Started,
    leaving: &Arc<Notify>,
    writers: &mut JoinSet<()>,
) -> Result<(), DaemonError> {
    if !config.compat.k8s_monitor.annotation {
        return Ok(());
    }
    let node = started
        .hub
        .resource()
        .get("k8s.node.name")
        .map(ToString::to_string)
        .unwrap_or_default();
    let settings = node_annotation::Settings::in_cluster(
        node_annotation::NodeName::new(node)?,
        config.compat.k8s_monitor.interval,
    );
    let annotation = NodeAnnotation::new(&settings, started.hub.clone())?;
    let leaving = leaving.clone();
    writers.spawn(async move {
        let told = leaving.notified();
        annotation.run(told).await;
    });
    Ok(())
}

async fn last_words(writers: JoinSet<()>) {
    tokio::time::timeout(FLUSH, writers.join_all()).await.ok();
}

/// Turns what changed into records, once an interval.
struct Collector<'a> {
    started: &'a Started,
    encoder: Encoder,
    exporter: &'a Exporter,
}

impl Collector<'_> {
    async fn every(&mut self, interval: Duration, ended: &mut Signals) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = ended.received() => return,
                _ = ticks.tick() => self.collect(),
            }
        }
    }

    fn collect(&mut self) {
        let changed = self.started.hub.collect();
        if !changed.is_empty() {
            self.exporter.push(&self.encoder.encode(&changed, Timestamp::now()));
        }
    }
}

fn listeners(config: &Config, started: &Started, renderer: &Renderer) -> Result<Vec<Listener>, BindError> {
    let source: Arc<dyn MetricsSource> = started.hub.clone();
    let readiness = readiness(started);
    let pid_format = config.compat.gpu_process_exporter.pid_format;
    let bind = |(key, address)| {
        let routes = match key {
            "compat.hailo_exporter.listen" => hailo_exporter::routes(&source),
            "compat.gpu_process_exporter.listen" => gpu_process_exporter::routes(&source, pid_format),
            "compat.system_info_exporter.listen" => system_info_exporter::routes(&source),
            _ => http::routes(source.clone(), readiness.clone(), renderer.clone()),
        };
        Listener::bind(key, address, routes, Auth::None)
    };
    config.listeners().into_iter().map(bind).collect()
}

fn readiness(started: &Started) -> Arc<dyn Readiness> {
    Arc::new(AllReported {
        statuses: started.statuses.clone(),
    })
}

/// Waits for SIGTERM, SIGINT, or SIGHUP where that is not ignored. From the first call on they end the process no more
/// by themselves.
pub async fn told_to_end() -> io::Result<()> {
    Signals::watch()?.received().await;
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A terminal that is closed sends it; `nohup` asks not to be ended by it.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: (!is_hangup_ignored())
                .then(|| signal(SignalKind::hangup()))
                .transpose()?,
        })
    }

    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hung_up(self.hangup.as_mut()) => {}
        }
    }
}

async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
