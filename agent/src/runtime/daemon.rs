//! `agent` without `--stdout`: pushes, and serves pulls, until a signal ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::early;
use super::own_names::own_names;
use super::readiness::AllReported;
use super::reload::Reload;
use super::signals::{Hangup, Request, Signals};
use super::start_log;
use super::succession::Succession;
use crate::config::{Config, VIEWS};
use crate::doctor;
use crate::status::Socket;
use accelscope_core::metric::{MetricsSource, Timestamp};
use accelscope_core::source::Context;
use accelscope_export::compat::textfile::TextFile;
use accelscope_export::http::{self, Answers, BindError, Listener, Readiness};
#[cfg(feature = "k8s-annotation")]
use accelscope_export::node_annotation::{self, NodeAnnotation};
use accelscope_export::otlp::{Encoder, Exporter};
use accelscope_export::prometheus::Renderer;
use accelscope_pipeline::{SeriesRegistry, Started};

/// Time for the last sends and removals at shutdown; the agent ends within three seconds.
const SHUTDOWN: Duration = Duration::from_millis(2000);

/// Time after which each source has been sampled and the first push has been answered.
const AFTER_START: Duration = Duration::from_secs(10);
/// Time between two returns of memory. Each costs about a hundred page faults of a few microseconds.
const RETURN_INTERVAL: Duration = Duration::from_mins(10);

/// Time between two looks whether the pipeline goes on.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, then sends the rest. SIGHUP has it read its configuration again.
pub async fn run(
    config: &Config,
    context: &Context,
    started: &Started,
    renderer: Renderer,
    mut reload: Reload,
) -> anyhow::Result<()> {
    let mut signals = Signals::watch(Hangup::Reloads).map_err(|error| error.context("no signals can be watched"))?;
    match early::take() {
        Some(Request::End) => return Ok(()),
        Some(Request::Reload) => reload.begin(),
        None => {}
    }
    let listeners = listeners(config, started, &renderer)?;
    http::serve_apart(listeners).map_err(|error| anyhow::Error::new(error).context("no thread can serve"))?;
    tokio::spawn(return_memory());
    tokio::spawn(watch_pipeline(started.registry.clone()));
    start_log::spawn(started, context.sources);
    let writers = Writers::start(config, started)?;
    let destinations = config.destinations();
    if destinations.is_empty() {
        answer_doctor(config, context, &reload, started, None);
        loop {
            tokio::select! {
                request = signals.received() => match request {
                    Request::End => break,
                    Request::Reload => reload.begin(),
                },
                read = reload.done() => drop(reload.apply(read, None)),
            }
        }
        writers.stop().await;
        return Ok(());
    }
    for destination in &destinations {
        tracing::info!(
            destination = destination.name,
            endpoint = destination.shown_endpoint(),
            proxy = destination.proxy.as_ref().map(tracing::field::display),
            interval = ?config.otlp.interval,
            "pushing"
        );
    }
    let succession = Succession::announce(config, started.registry.resource(), &destinations);
    let mut succession = succession
        .inspect_err(|error| tracing::debug!(%error, "other agents on this node are not seen"))
        .ok();
    let exporter = Exporter::new(destinations)?.within(started.registry.budget());
    answer_doctor(config, context, &reload, started, Some(exporter.clone()));
    let sending = exporter.clone();
    tokio::spawn(async move { sending.run().await });
    let mut encoder = Encoder::new(started.registry.resource());
    let mut collect = || {
        let changed = started.registry.collect();
        exporter.push(&encoder.encode_by_workload(&changed, Timestamp::now()));
    };
    let mut ticks = every(config.otlp.interval);
    loop {
        tokio::select! {
            request = signals.received() => match request {
                Request::End => break,
                Request::Reload => reload.begin(),
            },
            read = reload.done() => {
                if let Some((new, destinations)) = reload.apply(read, Some(&exporter)) {
                    if let Some(succession) = &mut succession {
                        succession.follow(&destinations);
                    }
                    if new.otlp.interval != ticks.period() {
                        ticks = every(new.otlp.interval);
                    }
                }
            }
            _ = ticks.tick() => collect(),
        }
    }
    collect();
    // What this agent will not continue ends here, unless another agent continues it.
    let ends = encoder.encode_by_workload(&started.registry.collect_ends(), Timestamp::now());
    exporter.push_to(&ends, |destination| {
        !succession.as_ref().is_some_and(|others| others.has_other(destination))
    });
    let (undelivered, ()) = tokio::join!(exporter.flush(Instant::now() + SHUTDOWN), writers.stop());
    for state in undelivered {
        tracing::warn!(
            destination = state.name,
            points = state.waiting.points,
            error = state.last_error.as_deref().unwrap_or("no answer in time"),
            "stopped with points that the destination did not take; they are lost",
        );
    }
    Ok(())
}

/// Lets `agent doctor` ask this agent. Without the socket the agent does all else.
fn answer_doctor(config: &Config, context: &Context, reload: &Reload, started: &Started, exporter: Option<Exporter>) {
    let (own, sources) = ((config.clone(), context.clone()), context.sources);
    let look = Arc::new(move || doctor::of_this_process(&own.0, &own.1));
    match Socket::open(config, sources, reload.file(), look) {
        Ok(Some(socket)) => {
            tokio::spawn(socket.serve(
                started.statuses.clone(),
                started.registry.clone(),
                exporter,
                reload.last(),
            ));
        }
        Ok(None) => {}
        Err(error) => tracing::info!(
            %error,
            "`agent doctor` cannot ask this agent; set status.directory to a directory that it may write to, or to \"\""
        ),
    }
}

/// Ticks of this period, the first at once.
fn every(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Returns memory to the kernel that only the start needed, and later what only rare events need.
async fn return_memory() {
    let mut ticks = tokio::time::interval_at(Instant::now() + AFTER_START, RETURN_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(error) = accelscope_memory::release() {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "memory is not returned to the kernel"
            );
        }
    }
}

/// Has the log say that the pipeline does not go on, where nobody collects its series either.
async fn watch_pipeline(registry: Arc<SeriesRegistry>) {
    let mut ticks = every(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        registry.stall();
    }
}

/// Tasks that write the newest state somewhere and remove it at shutdown.
struct Writers {
    tasks: JoinSet<()>,
    shutdown: watch::Sender<bool>,
}

impl Writers {
    /// Starts those that the configuration switches on.
    #[cfg_attr(
        not(feature = "k8s-annotation"),
        expect(clippy::unnecessary_wraps, reason = "only the annotation can be refused")
    )]
    fn start(config: &Config, started: &Started) -> anyhow::Result<Self> {
        let mut writers = Self {
            tasks: JoinSet::new(),
            shutdown: watch::Sender::new(false),
        };
        #[cfg(feature = "k8s-annotation")]
        if config.compat.k8s_monitor.annotation {
            let annotation = annotation(config, started)?;
            writers.tasks.spawn(annotation.run(writers.shutdown()));
        }
        if let Some(setting) = &config.compat.textfile {
            let format = config.compat.gpu_process_exporter.pid_format;
            let file = TextFile::new(setting, format, started.registry.clone(), readiness(started));
            writers.tasks.spawn(file.run(writers.shutdown()));
        }
        Ok(writers)
    }

    /// Ready when [`stop`](Self::stop) is called.
    fn shutdown(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut shutdown = self.shutdown.subscribe();
        async move { drop(shutdown.wait_for(|begun| *begun).await) }
    }

    /// Ends the tasks, those that take too long after [`SHUTDOWN`].
    async fn stop(self) {
        self.shutdown.send_replace(true);
        tokio::time::timeout(SHUTDOWN, self.tasks.join_all()).await.ok();
    }
}

#[cfg(feature = "k8s-annotation")]
fn annotation(config: &Config, started: &Started) -> Result<NodeAnnotation, node_annotation::SettingsError> {
    let node = started.registry.resource().get("k8s.node.name");
    let node = node_annotation::NodeName::new(node.map(ToString::to_string).unwrap_or_default())?;
    let settings = node_annotation::Settings::in_cluster(node, config.compat.k8s_monitor.interval)?;
    NodeAnnotation::new(&settings, started.registry.clone())
}

fn listeners(config: &Config, started: &Started, renderer: &Renderer) -> Result<Vec<Listener>, BindError> {
    let source: Arc<dyn MetricsSource> = started.registry.clone();
    let readiness = readiness(started);
    let hosts = own_names(started.registry.resource());
    let answers = Answers::within(started.registry.budget());
    let bind = |(key, address)| {
        let view = VIEWS.iter().find(|view| view.key == key);
        let routes = match view {
            Some(view) => view.routes(&source, &config.compat),
            None => http::routes(source.clone(), readiness.clone(), renderer.clone()),
        };
        let listener = Listener::bind(key, address, routes, &config.access(key, &hosts))?;
        let listener = listener.with_answers(&answers);
        Ok(if view.is_some_and(|view| view.is_bare) {
            listener.bare()
        } else {
            listener
        })
    };
    config.listeners().into_iter().map(bind).collect()
}

fn readiness(started: &Started) -> Arc<dyn Readiness> {
    Arc::new(AllReported {
        statuses: started.statuses.clone(),
        registry: started.registry.clone(),
    })
}
